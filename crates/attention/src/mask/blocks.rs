//! Block masks: which tiles of the score matrix are kept.

use crate::error::{Error, Result};
use crate::shape::Shape;
use ndarray::Array2;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A map of kept score tiles of `block` x `block`; the last row and column of tiles may be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMask {
    block: usize,
    kept: Array2<bool>,
}

impl BlockMask {
    /// A map given tile by tile; `kept` has shape `[⌈Nq/block⌉, ⌈Nk/block⌉]`, true = computed.
    ///
    /// # Errors
    /// [`Error::Parameter`] where `block` is 0.
    pub fn new(block: usize, kept: Array2<bool>) -> Result<Self> {
        if block == 0 {
            return Err(Error::Parameter {
                parameter: "block",
                value: "0".into(),
                expected: "at least 1 (16 to 128 run fast)".into(),
            });
        }
        Ok(Self { block, kept })
    }

    /// Keeps each tile of an `nq` x `nk` problem with probability `density`, and the diagonal
    /// always, so that no query of a causal problem is left without a key.
    ///
    /// The same seed keeps the same tiles: the draw for tile (r, c) is the c-th of stream r, so it
    /// does not depend on how many rows there are.
    ///
    /// # Errors
    /// [`Error::Parameter`] where `block` is 0 or `density` is not in 0..=1.
    pub fn random(nq: usize, nk: usize, block: usize, density: f64, seed: u64) -> Result<Self> {
        if !(0.0..=1.0).contains(&density) {
            return Err(Error::Parameter {
                parameter: "density",
                value: density.to_string(),
                expected: "a share between 0 and 1".into(),
            });
        }
        let side = block.max(1);
        let mut kept = Array2::from_elem((nq.div_ceil(side), nk.div_ceil(side)), false);
        for (r, mut row) in kept.outer_iter_mut().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(r as u64);
            for (c, tile) in row.iter_mut().enumerate() {
                *tile = rng.random_bool(density) || r == c;
            }
        }
        Self::new(block, kept)
    }

    /// Side of a tile, in queries and keys.
    #[must_use]
    pub fn block(&self) -> usize {
        self.block
    }

    /// The map, `[⌈Nq/block⌉, ⌈Nk/block⌉]`.
    #[must_use]
    pub fn kept(&self) -> &Array2<bool> {
        &self.kept
    }

    pub(super) fn visible(&self, i: usize, j: usize) -> bool {
        self.kept[[i / self.block, j / self.block]]
    }

    pub(super) fn check(&self, shape: &Shape, jagged: bool) -> Result<()> {
        let needed = [shape.nq.div_ceil(self.block), shape.nk.div_ceil(self.block)];
        let found = self.kept.shape();
        // Each history of a jagged batch starts at tile (0, 0); the shape is that of the longest.
        let fits = if jagged {
            found[0] >= needed[0] && found[1] >= needed[1]
        } else {
            found == needed
        };
        if fits {
            return Ok(());
        }
        Err(Error::Shape {
            tensor: "block mask",
            found: self.kept.shape().to_vec(),
            expected: format!("[⌈Nq/{b}⌉, ⌈Nk/{b}⌉] = {needed:?}", b = self.block),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_keeps_about_the_density_and_all_of_the_diagonal() {
        let mask = BlockMask::random(6400, 6400, 64, 0.25, 7).unwrap();
        let kept = mask.kept().iter().filter(|&&k| k).count() as f64;
        assert!((kept / 10_000.0 - 0.2575).abs() < 0.02, "{kept}");
        assert!((0..100).all(|t| mask.kept()[[t, t]]));
        assert_eq!(mask, BlockMask::random(6400, 6400, 64, 0.25, 7).unwrap());
        assert_ne!(mask, BlockMask::random(6400, 6400, 64, 0.25, 8).unwrap());
    }

    #[test]
    fn a_longer_problem_extends_the_map_of_a_shorter_one() {
        let short = BlockMask::random(256, 256, 64, 0.5, 1).unwrap();
        let long = BlockMask::random(512, 512, 64, 0.5, 1).unwrap();
        assert!(
            short
                .kept()
                .indexed_iter()
                .all(|(tile, kept)| long.kept()[tile] == *kept)
        );
    }

    #[test]
    fn refuses_a_block_of_zero_and_a_density_above_one() {
        assert!(matches!(
            BlockMask::random(8, 8, 0, 0.5, 0),
            Err(Error::Parameter {
                parameter: "block",
                ..
            })
        ));
        assert!(matches!(
            BlockMask::random(8, 8, 4, 1.5, 0),
            Err(Error::Parameter {
                parameter: "density",
                ..
            })
        ));
    }
}
