//! A problem without its tensors: all that a plan, a pattern or a cost model needs.

use crate::error::{Error, Result};
use crate::mask::{Mask, SequenceMask};
use crate::shape::Shape;
use std::ops::Range;
use std::sync::Arc;

/// How the histories of a batch lie in the tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One history a batch entry, each Nq (Nk) long.
    Padded,
    /// Histories end to end along the token axis of tensors with a leading axis of one; history s
    /// takes tokens `offsets[s]..offsets[s + 1]`. Shape of each: `[B + 1]`.
    Jagged {
        /// Offsets along the token axis of Q.
        q: Arc<[usize]>,
        /// Offsets along the token axis of K and V.
        k: Arc<[usize]>,
    },
}

/// Sizes, layout and problem mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    shape: Shape,
    layout: Layout,
    mask: Mask,
}

impl Geometry {
    /// A padded batch.
    ///
    /// # Errors
    /// [`Error::Shape`] where H is no multiple of Hkv or the mask does not fit.
    pub fn padded(shape: Shape, mask: Mask) -> Result<Self> {
        Self {
            shape,
            layout: Layout::Padded,
            mask,
        }
        .checked()
    }

    /// A jagged batch; `shape` counts the histories in `b` and all tokens in `nq` and `nk`.
    ///
    /// # Errors
    /// [`Error::Offsets`] where the offsets do not run from 0 to the token count without a step
    /// back; [`Error::Shape`] as for [`padded`](Self::padded).
    pub fn jagged(shape: Shape, q: Arc<[usize]>, k: Arc<[usize]>, mask: Mask) -> Result<Self> {
        for (tensor, offsets, tokens) in [("Q", &q, shape.nq), ("K", &k, shape.nk)] {
            let fault = if offsets.len() != shape.b + 1 {
                Some(format!(
                    "{} of them for {} histories, expected B + 1",
                    offsets.len(),
                    shape.b
                ))
            } else if offsets[0] != 0 {
                Some(format!("they start at {}, expected 0", offsets[0]))
            } else if let Some(s) = offsets.windows(2).position(|w| w[1] < w[0]) {
                Some(format!("they step back after history {s}"))
            } else if offsets[shape.b] != tokens {
                Some(format!(
                    "they end at {}, but there are {tokens} tokens",
                    offsets[shape.b]
                ))
            } else {
                None
            };
            if let Some(reason) = fault {
                return Err(Error::Offsets { tensor, reason });
            }
        }
        Self {
            shape,
            layout: Layout::Jagged { q, k },
            mask,
        }
        .checked()
    }

    fn checked(self) -> Result<Self> {
        let Shape { h, hkv, .. } = self.shape;
        if hkv == 0 && h != 0 || hkv != 0 && !h.is_multiple_of(hkv) {
            return Err(Error::Shape {
                tensor: "K",
                found: vec![hkv],
                expected: format!("Hkv heads that divide H = {h}"),
            });
        }
        let jagged = self.is_jagged();
        let longest = |range: fn(&Self, usize) -> Range<usize>| {
            (0..self.shape.b)
                .map(|s| range(&self, s).len())
                .max()
                .unwrap_or(0)
        };
        let per_history = if jagged {
            let (nq, nk) = (longest(Self::query_range), longest(Self::key_range));
            Shape {
                nq,
                nk,
                ..self.shape
            }
        } else {
            self.shape
        };
        self.mask.check(&per_history, jagged)?;
        Ok(self)
    }

    /// The same problem with a pattern added to its mask.
    ///
    /// # Errors
    /// As for [`padded`](Self::padded), where the pattern does not fit.
    pub fn with_pattern(&self, pattern: &Mask) -> Result<Self> {
        let mask = self.mask.clone().and(pattern);
        Self {
            mask,
            ..self.clone()
        }
        .checked()
    }

    /// The sizes.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// How the histories lie.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether the histories lie end to end.
    #[must_use]
    pub fn is_jagged(&self) -> bool {
        matches!(self.layout, Layout::Jagged { .. })
    }

    /// The mask.
    #[must_use]
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// The tokens of history `s` along Q's token axis.
    #[must_use]
    pub fn query_range(&self, s: usize) -> Range<usize> {
        match &self.layout {
            Layout::Padded => 0..self.shape.nq,
            Layout::Jagged { q, .. } => q[s]..q[s + 1],
        }
    }

    /// The tokens of history `s` along K's token axis.
    #[must_use]
    pub fn key_range(&self, s: usize) -> Range<usize> {
        match &self.layout {
            Layout::Padded => 0..self.shape.nk,
            Layout::Jagged { k, .. } => k[s]..k[s + 1],
        }
    }

    /// The mask of history `s`.
    #[must_use]
    pub fn sequence(&self, s: usize) -> SequenceMask<'_> {
        self.mask
            .sequence(s, self.query_range(s).len(), self.key_range(s).len())
    }

    /// The key/value head that query head `h` reads.
    #[must_use]
    pub fn key_head(&self, h: usize) -> usize {
        h / (self.shape.h / self.shape.hkv)
    }

    /// Visible (query, key) pairs of all histories and heads.
    ///
    /// Cost: O(B·Nq) for causal, window and length masks; O(B·Nq·Nk) tests for dense ones.
    #[must_use]
    pub fn visible_pairs(&self) -> u64 {
        let per_head = (0..self.shape.b)
            .map(|s| {
                let mask = self.sequence(s);
                (0..mask.queries())
                    .map(|i| mask.count(i) as u64)
                    .sum::<u64>()
            })
            .sum::<u64>();
        per_head * self.shape.h as u64
    }
}
