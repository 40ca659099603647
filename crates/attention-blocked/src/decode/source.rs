//! Where queries, keys and values come from: a problem, or a cache.

use crate::simd::row_wise::Element;
use attention::mask::SequenceMask;
use attention::{HeadBias, Problem};
use ndarray::ArrayView2;

/// Keys and values of one history and key head.
pub(crate) struct History<'a, E> {
    /// `[Nk, D]`.
    pub(crate) k: ArrayView2<'a, E>,
    /// `[Nk, Dv]`.
    pub(crate) v: ArrayView2<'a, E>,
    /// A factor for each key and one for each value, `[Nk]` each, where rows are scaled.
    pub(crate) scales: Option<(&'a [f32], &'a [f32])>,
}

/// The queries of one history and query head.
pub(crate) struct Asked<'a> {
    /// `[Nq, D]`.
    pub(crate) q: ArrayView2<'a, f32>,
    pub(crate) mask: SequenceMask<'a>,
    pub(crate) scale: f32,
    pub(crate) bias: Option<HeadBias<'a>>,
}

/// A question to answer: histories, and the queries that are asked of them.
pub(crate) trait Source: Sync {
    type Element: Element;

    /// Query heads that share a key head.
    fn group(&self) -> usize;
    fn history(&self, sequence: usize, key_head: usize) -> History<'_, Self::Element>;
    fn asked(&self, sequence: usize, head: usize) -> Asked<'_>;
}

impl Source for Problem<'_> {
    type Element = f32;

    fn group(&self) -> usize {
        let shape = self.shape();
        shape.h / shape.hkv.max(1)
    }

    fn history(&self, sequence: usize, key_head: usize) -> History<'_, f32> {
        let head = self.head(sequence, key_head * self.group());
        History {
            k: head.k,
            v: head.v,
            scales: None,
        }
    }

    fn asked(&self, sequence: usize, head: usize) -> Asked<'_> {
        let head = self.head(sequence, head);
        Asked {
            q: head.q,
            mask: head.mask,
            scale: head.scale,
            bias: head.bias,
        }
    }
}
