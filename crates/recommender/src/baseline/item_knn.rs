//! Item-based nearest neighbours.

use std::collections::HashSet;

use ndarray::ArrayViewMut2;
use rayon::prelude::*;

use crate::evaluate::{Ranker, RankerError};
use crate::prepare::{History, Split};

/// Scores an item by its similarity to what is in the history.
///
/// Similarity of two items is the cosine of the sets of users who chose them, |A ∩ B| / √(|A|·|B|); each item keeps its k
/// most similar others, and an item's score is the sum over the distinct items of the history that have it among theirs
/// (Deshpande & Karypis, ACM TOIS 22(1), 2004, section 4, without their normalisations).
#[derive(Debug, Clone, PartialEq)]
pub struct ItemKnn {
    /// Of each item, by falling similarity, ties by item index.
    neighbours: Vec<Vec<(u32, f32)>>,
}

impl ItemKnn {
    /// Learns from the training part, in parallel over items and to the same bits for any thread count.
    ///
    /// Cost: O(Σn²) over history lengths n, and O(items · k) memory beside the log.
    pub fn fit(split: &Split<'_>, k: usize, threads: &rayon::ThreadPool) -> Self {
        let items = split.log().items();
        let mut baskets: Vec<Vec<u32>> = split
            .training()
            .map(|history| distinct(history.items))
            .collect();
        baskets.shrink_to_fit();
        let mut users_of: Vec<Vec<u32>> = vec![Vec::new(); items];
        for (user, basket) in (0u32..).zip(&baskets) {
            for &item in basket {
                users_of[item as usize].push(user);
            }
        }
        let nearest = |counts: &mut Vec<u32>, item: usize| {
            let mut met = Vec::new();
            for &user in &users_of[item] {
                for &other in &baskets[user as usize] {
                    if counts[other as usize] == 0 {
                        met.push(other);
                    }
                    counts[other as usize] += 1;
                }
            }
            let own = users_of[item].len() as f64;
            let mut similar: Vec<(u32, f32)> = Vec::with_capacity(met.len());
            for other in met {
                let common = std::mem::take(&mut counts[other as usize]);
                if other as usize != item {
                    let norm = (own * users_of[other as usize].len() as f64).sqrt();
                    similar.push((other, (f64::from(common) / norm) as f32));
                }
            }
            let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
            if similar.len() > k {
                similar.select_nth_unstable_by(k, order);
                similar.truncate(k);
            }
            similar.sort_unstable_by(order);
            similar
        };
        let neighbours = threads.install(|| {
            (0..items)
                .into_par_iter()
                .map_init(|| vec![0u32; items], nearest)
                .collect()
        });
        Self { neighbours }
    }

    /// The items most like this one, most similar first, with their similarity.
    ///
    /// # Panics
    /// When `item` is not in the catalogue, as indexing does.
    pub fn neighbours(&self, item: u32) -> &[(u32, f32)] {
        &self.neighbours[item as usize]
    }
}

impl Ranker for ItemKnn {
    fn items(&self) -> usize {
        self.neighbours.len()
    }

    fn score(
        &self,
        histories: &[History<'_>],
        mut scores: ArrayViewMut2<'_, f32>,
    ) -> Result<(), RankerError> {
        scores.fill(0.0);
        for (mut row, history) in scores.rows_mut().into_iter().zip(histories) {
            for item in distinct(history.items) {
                for &(other, similarity) in self.neighbours(item) {
                    row[other as usize] += similarity;
                }
            }
        }
        Ok(())
    }
}

/// Each item once, at its first place.
fn distinct(items: &[u32]) -> Vec<u32> {
    let mut met = HashSet::with_capacity(items.len());
    items
        .iter()
        .copied()
        .filter(|&item| met.insert(item))
        .collect()
}
