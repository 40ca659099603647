//! Items that a user did not choose next.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Uniform draws of items, from a generator of a call's own.
pub struct Negatives {
    generator: ChaCha8Rng,
    catalogue: u32,
}

impl Negatives {
    /// Draws from a catalogue of so many items.
    #[must_use]
    pub fn new(seed: u64, catalogue: usize) -> Self {
        Self {
            generator: ChaCha8Rng::seed_from_u64(seed),
            catalogue: u32::try_from(catalogue).unwrap_or(u32::MAX).max(1),
        }
    }

    /// One item that is not among `avoided`, which is sorted; any item where a hundred draws find no other.
    pub fn draw(&mut self, avoided: &[u32]) -> u32 {
        let mut item = 0;
        for _ in 0..100 {
            item = self.generator.random_range(0..self.catalogue);
            if avoided.binary_search(&item).is_err() {
                break;
            }
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_avoid_what_they_must_and_reach_the_rest_alike() {
        let mut negatives = Negatives::new(3, 10);
        let mut counts = [0; 10];
        (0..8000).for_each(|_| counts[negatives.draw(&[2, 7]) as usize] += 1);
        assert_eq!((counts[2], counts[7]), (0, 0));
        assert!(
            counts
                .iter()
                .filter(|&&n| n > 0)
                .all(|&n| (850..1150).contains(&n)),
            "{counts:?}"
        );
        assert_eq!(Negatives::new(3, 1).draw(&[0]), 0, "nothing else to draw");
    }
}
