//! Working memory of one worker: a block of queries and a tile of keys, O(D + Dv) floats.

use crate::simd::{DROP_FLOATS, QUERIES};
use attention::walk::GROUP;

/// Most keys in a piece.
pub(super) const RUN: usize = 256;

/// All buffers begin on a cache line, since each is a multiple of one.
pub(super) struct Memory<'a> {
    /// Qᵀ `[D, QUERIES]`, with scale·log2(e) folded in.
    pub(super) qt: &'a mut [f32],
    /// dOᵀ `[Dv, QUERIES]`.
    pub(super) d_ot: &'a mut [f32],
    /// scale·Q `[QUERIES, D rounded up to whole vectors]`.
    pub(super) q: &'a mut [f32],
    /// dO `[QUERIES, Dv rounded up to whole vectors]`.
    pub(super) d_o: &'a mut [f32],
    /// dQᵀ `[D, QUERIES]`, not yet multiplied by the scale.
    pub(super) d_qt: &'a mut [f32],
    /// Pᵀ `[RUN, QUERIES]`.
    pub(super) p: &'a mut [f32],
    /// dSᵀ `[RUN, QUERIES]`.
    pub(super) ds: &'a mut [f32],
    /// L in units of log2 `[QUERIES]`.
    pub(super) lse: &'a mut [f32],
    /// The scale `[QUERIES]`.
    pub(super) scale: &'a mut [f32],
    /// δ = Σ dO∘O `[QUERIES]`.
    pub(super) delta: &'a mut [f32],
    /// Dropout's row keys.
    pub(super) drop: &'a mut [f32],
    /// A relative bias' gradient by this block alone.
    pub(super) table: &'a mut [f32],
}

/// Floats between rows of `width` floats that are read in whole vectors.
pub(super) fn padded(width: usize) -> usize {
    width.next_multiple_of(GROUP)
}

impl<'a> Memory<'a> {
    /// Floats that it takes.
    pub(super) fn floats(d: usize, dv: usize, table: usize) -> usize {
        let rows = 2 * d + dv + padded(d) + padded(dv) + 2 * RUN + 3;
        rows * QUERIES + DROP_FLOATS + table
    }

    /// Cuts working memory up.
    pub(super) fn cut(memory: &'a mut [f32], d: usize, dv: usize, table: usize) -> Self {
        let mut rest = memory;
        let mut take = |floats: usize| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(floats);
            rest = after;
            part
        };
        Self {
            qt: take(d * QUERIES),
            d_ot: take(dv * QUERIES),
            q: take(padded(d) * QUERIES),
            d_o: take(padded(dv) * QUERIES),
            d_qt: take(d * QUERIES),
            p: take(RUN * QUERIES),
            ds: take(RUN * QUERIES),
            lse: take(QUERIES),
            scale: take(QUERIES),
            delta: take(QUERIES),
            drop: take(DROP_FLOATS),
            table: take(table),
        }
    }
}
