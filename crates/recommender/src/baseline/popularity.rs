//! Ranking by how often an item was chosen, the same for everyone.

use ndarray::{ArrayView1, ArrayViewMut2};

use crate::evaluate::{Ranker, RankerError};
use crate::prepare::{History, Split};

/// Scores an item by its number of events in the training part.
#[derive(Debug, Clone, PartialEq)]
pub struct Popularity {
    counts: Vec<f32>,
}

impl Popularity {
    /// Counts the training part; O(events). Counts are exact up to 2²⁴ events an item.
    pub fn fit(split: &Split<'_>) -> Self {
        let mut counts = vec![0u32; split.log().items()];
        for history in split.training() {
            for &item in history.items {
                counts[item as usize] += 1;
            }
        }
        Self {
            counts: counts.into_iter().map(|count| count as f32).collect(),
        }
    }
}

impl Ranker for Popularity {
    fn items(&self) -> usize {
        self.counts.len()
    }

    fn score(
        &self,
        _: &[History<'_>],
        mut scores: ArrayViewMut2<'_, f32>,
    ) -> Result<(), RankerError> {
        for mut row in scores.rows_mut() {
            row.assign(&ArrayView1::from(&self.counts));
        }
        Ok(())
    }
}
