//! Which keys a query may see: the problem mask, and the pattern a variant adds to it.
//!
//! Both are the same kind of thing, a conjunction of [`Part`]s, and differ only in whose they are:
//! the *problem mask* belongs to the question and the oracle applies it; the *pattern* belongs to
//! the answer and what it leaves out counts as error. There is no boolean `causal`: where Nq and Nk
//! differ the two alignments mean different things, so a causal mask always names its [`Alignment`].

mod blocks;
mod sequence;

pub use blocks::BlockMask;
pub use sequence::{SequenceMask, Tile};

use crate::error::{Error, Result, expect_shape};
use crate::shape::Shape;
use ndarray::Array2;
use std::sync::Arc;

/// Where the diagonal of a causal mask or window lies when Nq and Nk differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alignment {
    /// Query 0 stands at key 0: query i sees j <= i.
    TopLeft,
    /// The last query stands at the last key: query i sees j <= i + Nk - Nq.
    BottomRight,
    /// Query i stands at key i + k.
    Offset(isize),
}

impl Alignment {
    fn offset(self, nq: usize, nk: usize) -> isize {
        match self {
            Self::TopLeft => 0,
            Self::BottomRight => nk as isize - nq as isize,
            Self::Offset(k) => k,
        }
    }
}

/// One condition on (sequence, query i, key j); a [`Mask`] is their conjunction.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// j <= i + offset.
    Causal(Alignment),
    /// The `width` keys that end at the query: i - width < j <= i, with i moved by the alignment.
    Window {
        /// Keys seen, the query's own position among them.
        width: usize,
        /// Where query 0 stands.
        alignment: Alignment,
    },
    /// |i - j| <= radius, with i moved by the alignment.
    SymmetricWindow {
        /// Keys seen on either side.
        radius: usize,
        /// Where query 0 stands.
        alignment: Alignment,
    },
    /// Sequence b has `lengths[b]` keys; what lies behind is padding. Shape `[B]`.
    KeyLengths(Arc<[usize]>),
    /// Any boolean matrix `[Nq, Nk]`, true = visible, the same for all sequences and heads.
    Dense(Arc<Array2<bool>>),
    /// Tiles of queries and keys that are kept or left out whole.
    Blocks(Arc<BlockMask>),
}

/// A conjunction of [`Part`]s; without any, every query sees every key.
///
/// ```
/// use attention::mask::{Alignment, Mask};
/// let mask = Mask::causal(Alignment::TopLeft).and(&Mask::key_lengths([3, 1]));
/// let second = mask.sequence(1, 4, 4);
/// assert!(second.visible(2, 0));
/// assert!(!second.visible(2, 1), "key 1 is padding in a history of one");
/// assert!(!mask.sequence(0, 4, 4).visible(0, 1), "the future is hidden");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mask {
    parts: Vec<Part>,
}

impl Mask {
    /// Every query sees every key.
    #[must_use]
    pub fn full() -> Self {
        Self::default()
    }

    /// Query i sees no later key.
    #[must_use]
    pub fn causal(alignment: Alignment) -> Self {
        Part::Causal(alignment).into()
    }

    /// Query i sees the `width` keys that end at it: i - width < j <= i.
    #[must_use]
    pub fn window(width: usize) -> Self {
        Part::Window {
            width,
            alignment: Alignment::TopLeft,
        }
        .into()
    }

    /// Padding: sequence b has `lengths[b]` keys. Shape `[B]`.
    #[must_use]
    pub fn key_lengths(lengths: impl Into<Arc<[usize]>>) -> Self {
        Part::KeyLengths(lengths.into()).into()
    }

    /// Any boolean matrix `[Nq, Nk]`, true = visible.
    #[must_use]
    pub fn dense(visible: Array2<bool>) -> Self {
        Part::Dense(Arc::new(visible)).into()
    }

    /// Whole tiles of queries and keys kept or left out.
    #[must_use]
    pub fn blocks(blocks: BlockMask) -> Self {
        Part::Blocks(Arc::new(blocks)).into()
    }

    /// The keys that both masks allow.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.parts.extend(other.parts.iter().cloned());
        self
    }

    /// The conditions, in the order in which they were added.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Resolves the mask for sequence `b` with `nq` queries and `nk` keys.
    ///
    /// Cost: O(parts), no allocation.
    #[must_use]
    pub fn sequence(&self, b: usize, nq: usize, nk: usize) -> SequenceMask<'_> {
        SequenceMask::resolve(&self.parts, b, nq, nk)
    }

    /// The mask of sequence `b` as a matrix `[Nq, Nk]`; for tests, since it costs O(Nq·Nk) memory.
    #[must_use]
    pub fn to_dense(&self, b: usize, nq: usize, nk: usize) -> Array2<bool> {
        let mask = self.sequence(b, nq, nk);
        Array2::from_shape_fn((nq, nk), |(i, j)| mask.visible(i, j))
    }

    pub(crate) fn check(&self, shape: &Shape, jagged: bool) -> Result<()> {
        for part in &self.parts {
            match part {
                Part::KeyLengths(lengths) => {
                    if jagged {
                        return Err(Error::Offsets {
                            tensor: "K",
                            reason: "a jagged batch has its lengths in its offsets; leave out \
                                     the key-length mask"
                                .into(),
                        });
                    }
                    expect_shape("key lengths", "[B]", &[lengths.len()], &[shape.b])?;
                    if let Some(&long) = lengths.iter().find(|&&n| n > shape.nk) {
                        return Err(Error::Parameter {
                            parameter: "key length",
                            value: long.to_string(),
                            expected: format!("at most Nk = {}", shape.nk),
                        });
                    }
                }
                Part::Dense(visible) if jagged => {
                    return Err(Error::Shape {
                        tensor: "dense mask",
                        found: visible.shape().to_vec(),
                        expected: "no dense mask on a jagged batch, whose histories differ in \
                                   length"
                            .into(),
                    });
                }
                Part::Dense(visible) => {
                    let expected = [shape.nq, shape.nk];
                    expect_shape("dense mask", "[Nq, Nk]", visible.shape(), &expected)?;
                }
                Part::Blocks(blocks) => blocks.check(shape, jagged)?,
                Part::Window { width: 0, .. } => {
                    return Err(Error::Parameter {
                        parameter: "window",
                        value: "0".into(),
                        expected: "at least 1, the query's own position".into(),
                    });
                }
                Part::Causal(_) | Part::Window { .. } | Part::SymmetricWindow { .. } => {}
            }
        }
        Ok(())
    }
}

impl From<Part> for Mask {
    fn from(part: Part) -> Self {
        Self { parts: vec![part] }
    }
}
