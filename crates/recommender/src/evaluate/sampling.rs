//! Negatives of the sampled protocols.

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::config::Sampling;
use crate::data::Interactions;
use crate::prepare::Case;

/// Draws distinct items that a user has not seen.
pub(super) struct Negatives {
    amount: usize,
    seed: u64,
    weights: Vec<u32>,
}

impl Negatives {
    pub(super) fn new(log: &Interactions, amount: usize, by: Sampling, seed: u64) -> Self {
        let weights = match by {
            Sampling::Uniform => vec![1; log.items()],
            Sampling::Popularity => log.item_counts(),
        };
        Self {
            amount,
            seed,
            weights,
        }
    }

    /// At most `amount` items outside the history and the targets, from the stream of this user's number.
    pub(super) fn draw(&self, case: &Case<'_>) -> Vec<u32> {
        let mut taken = vec![false; self.weights.len()];
        for &item in case.history.items.iter().chain(case.targets) {
            taken[item as usize] = true;
        }
        let unseen: Vec<u32> = (0..self.weights.len() as u32)
            .filter(|&item| !taken[item as usize] && self.weights[item as usize] > 0)
            .collect();
        let amount = self.amount.min(unseen.len());
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(case.user));
        let equal = unseen
            .windows(2)
            .all(|pair| self.weights[pair[0] as usize] == self.weights[pair[1] as usize]);
        let weight = |at: usize| f64::from(self.weights[unseen[at] as usize]);
        let drawn = if equal {
            index::sample(&mut rng, unseen.len(), amount)
        } else {
            // Efraimidis & Spirakis 2006: as one draw after the other without replacement. Weights are positive and
            // finite and no more are asked for than there are, so that the fallback is never taken.
            index::sample_weighted(&mut rng, unseen.len(), weight, amount)
                .unwrap_or_else(|_| index::IndexVec::from(Vec::<u32>::new()))
        };
        drawn.iter().map(|at| unseen[at]).collect()
    }
}
