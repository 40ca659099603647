//! The shop's items: clusters, popularity, companions.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::ShopConfig;
use super::math::{exp, ln};

/// The items, by cluster, with their cumulative popularity.
pub(super) struct Catalogue {
    pub(super) cluster: Vec<u32>,
    members: Vec<Vec<u32>>,
    cumulative: Vec<Vec<f64>>,
    pub(super) companion: Vec<u32>,
}

impl Catalogue {
    pub(super) fn draw(config: &ShopConfig) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let mut by_rank: Vec<u32> = (0..config.items as u32).collect();
        by_rank.shuffle(&mut rng);
        let mut order: Vec<u32> = (0..config.clusters as u32).collect();
        let mut cluster = vec![0; config.items];
        let mut members = vec![Vec::new(); config.clusters];
        let mut cumulative: Vec<Vec<f64>> = vec![Vec::new(); config.clusters];
        for (rank, &item) in by_rank.iter().enumerate() {
            // Each run of ranks is dealt to all clusters, so that each has popular items and rare ones.
            let place = rank % config.clusters;
            if place == 0 {
                order.shuffle(&mut rng);
            }
            let home = order[place] as usize;
            cluster[item as usize] = home as u32;
            members[home].push(item);
            let before = cumulative[home].last().copied().unwrap_or(0.0);
            cumulative[home].push(before + exp(-config.zipf_exponent * ln((rank + 1) as f64)));
        }
        let mut companion = vec![0; config.items];
        for group in &members {
            let mut ring = group.clone();
            ring.shuffle(&mut rng);
            for (place, &item) in ring.iter().enumerate() {
                companion[item as usize] = ring[(place + 1) % ring.len()];
            }
        }
        Self {
            cluster,
            members,
            cumulative,
            companion,
        }
    }

    pub(super) fn popular(&self, cluster: usize, rng: &mut ChaCha8Rng) -> u32 {
        self.members[cluster][pick(&self.cumulative[cluster], rng)]
    }
}

/// An index by weights given as running sums.
pub(super) fn pick(cumulative: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let total = cumulative.last().copied().unwrap_or(0.0);
    let mark = rng.random::<f64>() * total;
    cumulative
        .partition_point(|&sum| sum <= mark)
        .min(cumulative.len() - 1)
}
