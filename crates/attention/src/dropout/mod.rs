//! Dropout on attention weights: P∘keep/(1 - rate), from a generator that needs no memory.
//!
//! Whether a weight is kept is a function of (seed, history, head, query, key) alone. So forward and
//! backward make the same choice without storing it, any order of work and any number of threads
//! too, and a history has the same weights dropped whether it is padded or jagged. L and the softmax
//! stay those of the weights before dropout (Srivastava et al. 2014; Dao et al. 2022, appendix B.4).
//!
//! The generator is made for kernels whose vector lanes are queries and whose loop runs over keys:
//! the 64 bits of a [`RowKey`] are mixed once a query by steps of SplitMix64 (Steele et al. 2014), and
//! a draw costs one addition, one shared multiple of the key's index and two 32-bit multiplications,
//! those of `lowbias32` (Wellons 2018, hash-prospector) with the second half of the row's key between
//! them. Its last xor-shift is left out: it changes low bits alone, and what counts is a comparison.
//!
//! ```
//! use attention::dropout::Dropout;
//! let dropout = Dropout::new(0.1, 42)?;
//! let head = dropout.head(3, 0); // history 3, query head 0
//! let row = head.row(17); // query 17
//! let kept = (0..1000).filter(|&key| head.keeps(row, key)).count();
//! assert!((860..940).contains(&kept));
//! # Ok::<(), attention::Error>(())
//! ```

#[cfg(test)]
mod tests;

use crate::error::{Error, Result};

/// Added for each key: 2^32 divided by the golden ratio, so that neighbours start far apart.
pub const KEY_STEP: u32 = 0x9E37_79B9;
/// Shift before the first multiplication, and its factor.
pub const FIRST: (u32, u32) = (16, 0x21F0_AAAD);
/// Shift before the second multiplication, and its factor.
pub const SECOND: (u32, u32) = (15, 0xD35A_2D97);

/// How much is dropped, and by which seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    rate: f32,
    seed: u64,
}

impl Dropout {
    /// Drops each weight with probability `rate`, from 0 to below 1.
    ///
    /// # Errors
    /// [`Error::Parameter`] for any other rate.
    pub fn new(rate: f32, seed: u64) -> Result<Self> {
        if (0.0..1.0).contains(&rate) {
            return Ok(Self { rate, seed });
        }
        Err(Error::Parameter {
            parameter: "dropout rate",
            value: rate.to_string(),
            expected: "expected a number from 0 to below 1".into(),
        })
    }

    /// The share of weights that is dropped.
    #[must_use]
    pub fn rate(&self) -> f32 {
        self.rate
    }

    /// Which weights.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The choices for one history and query head.
    #[must_use]
    pub fn head(&self, sequence: usize, head: usize) -> HeadDropout {
        let key = [self.seed, sequence as u64, head as u64];
        HeadDropout {
            key: key.into_iter().fold(0, absorb),
            // Exact: a rate below 1 is at most 1 - 2^-24.
            threshold: (f64::from(self.rate) * 2f64.powi(32)) as u32,
            factor: 1.0 / (1.0 - self.rate),
        }
    }
}

/// [`Dropout`] for one history and query head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadDropout {
    key: u64,
    threshold: u32,
    factor: f32,
}

/// What all draws of one query have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowKey {
    /// Where the sequence of keys starts.
    pub a: u32,
    /// Mixed in before the second multiplication.
    pub b: u32,
}

impl HeadDropout {
    /// The key of query `i` of the history. Cost: two multiplications.
    #[must_use]
    #[inline]
    pub fn row(&self, i: usize) -> RowKey {
        let bits = absorb(self.key, i as u64);
        RowKey {
            a: (bits >> 32) as u32,
            b: bits as u32,
        }
    }

    /// A weight is kept where its [`draw`](RowKey::draw) is no less than this.
    #[must_use]
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// 1/(1 - rate), by which kept weights are multiplied.
    #[must_use]
    pub fn factor(&self) -> f32 {
        self.factor
    }

    /// Whether the weight of a row's key `j` of the history is kept.
    #[must_use]
    #[inline]
    pub fn keeps(&self, row: RowKey, j: usize) -> bool {
        row.draw(j) >= self.threshold
    }

    /// What the weight of a row's key `j` is multiplied with: 0 or 1/(1 - rate).
    #[must_use]
    #[inline]
    pub fn multiplier(&self, row: RowKey, j: usize) -> f32 {
        if self.keeps(row, j) { self.factor } else { 0.0 }
    }
}

impl RowKey {
    /// 32 bits for key `j`, of which the high ones are the best: the definition that vector kernels
    /// repeat, lane by lane.
    #[must_use]
    #[inline]
    pub fn draw(self, j: usize) -> u32 {
        let x = self.a.wrapping_add((j as u32).wrapping_mul(KEY_STEP));
        let x = (x ^ x >> FIRST.0).wrapping_mul(FIRST.1);
        (x ^ x >> SECOND.0 ^ self.b).wrapping_mul(SECOND.1)
    }
}

/// A step of SplitMix64 over what was mixed before and one more number.
fn absorb(key: u64, value: u64) -> u64 {
    let x = (key ^ value).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}
