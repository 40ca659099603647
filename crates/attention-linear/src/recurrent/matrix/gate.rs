//! What a decay must answer about a chunk.

use super::super::ops::{Ops, Right};
use super::Sizes;
use std::ops::Range;

/// Where rows that read a chunk stand: row i behind key min(first + i, last) of the chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) count: usize,
    /// Whether the key a row stands at is itself hidden from it.
    pub(super) strict: bool,
}

impl Places {
    /// The key that row i stands at.
    pub(super) fn at(&self, i: usize) -> usize {
        (self.first + i).min(self.last)
    }

    /// Keys that row i sees.
    pub(super) fn limit(&self, i: usize) -> usize {
        self.at(i) + usize::from(!self.strict)
    }

    /// Runs of at most 16 rows, with the keys that their last one sees.
    pub(super) fn blocks(self) -> impl Iterator<Item = (Range<usize>, usize)> {
        (0..self.count).step_by(16).map(move |first| {
            let rows = first..self.count.min(first + 16);
            let seen = self.limit(rows.end - 1);
            (rows, seen)
        })
    }

    /// The first row that sees key j.
    pub(super) fn first_seeing(&self, j: usize) -> usize {
        let at = j + usize::from(self.strict);
        if at > self.last {
            return self.count;
        }
        at.saturating_sub(self.first).min(self.count)
    }
}

/// What rows have read of a chunk, and the gradients of what they gave.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    /// The rows `[count, D]`, their decayed products with keys `[count, C]` (needed where
    /// pseudo-values have gradients), and the gradients of the answers `[count, Dv]`.
    pub(super) x: &'a [f32],
    pub(super) a: &'a [f32],
    pub(super) g: &'a [f32],
    /// Keys `[n, D]`, and the transpose of pseudo-values `[Dv, C]`.
    pub(super) k: &'a [f32],
    pub(super) u_t: &'a [f32],
    /// Transpose of the state before the chunk `[Dv, D]`.
    pub(super) state_t: &'a [f32],
}

/// Gradients that reading rows add to.
pub(super) struct Grown<'a> {
    /// Of the rows themselves `[count, D]`: overwritten.
    pub(super) x: &'a mut [f32],
    /// Of keys, of pseudo-values where they are not known yet, and of the state before the chunk.
    pub(super) k: &'a mut [f32],
    pub(super) u: Option<&'a mut [f32]>,
    pub(super) state: &'a mut [f32],
}

/// Decays of one history and key head.
pub(super) trait Gate {
    /// Computes the decays of `keys` of the history, a chunk.
    fn load(&mut self, ops: Ops, keys: Range<usize>);

    /// Says where the rows stand that the next calls are about.
    fn place(&mut self, ops: Ops, places: Places);

    /// A `[count, C]` = decayed, masked X·Kᵀ.
    fn scores(&mut self, ops: Ops, x: &[f32], k: &[f32], k_t: &[f32], a: &mut [f32]);

    /// to = decayed X·S, or to -= that.
    fn read(&mut self, ops: Ops, x: &[f32], state: &[f32], to: &mut [f32], subtract: bool);

    /// S ← decay∘S + (decayed K)ᵀ·U, for the n keys of the chunk.
    fn write(&mut self, ops: Ops, k: &[f32], u: &[f32], state: &mut [f32]);

    /// Gradients of [`read`](Self::read) plus A·U; `scores` has just been called on the same rows.
    fn read_backward(&mut self, ops: Ops, read: Read<'_>, grown: Grown<'_>);

    /// Gradients of [`write`](Self::write): sets those of K and U and decays that of S, given
    /// dS as it stands behind the chunk and its transpose.
    fn write_backward(
        &mut self,
        ops: Ops,
        k: &[f32],
        u: &[f32],
        state: (&mut [f32], &[f32]),
        d_k: &mut [f32],
        d_u: &mut [f32],
    );

    /// Begins the gradient of the chunk's decays: S and dS behind the chunk.
    fn begin_gradient(&mut self, ops: Ops, state: &[f32], d_state: &[f32]);

    /// Adds what the rows placed last contribute: x∘dx.
    fn rows_gradient(&mut self, ops: Ops, x: &[f32], d_x: &[f32]);

    /// Adds what the chunk's keys and values contribute, and writes the gradient of the logarithms.
    fn finish_gradient(&mut self, ops: Ops, keys: [&[f32]; 2], values: [&[f32]; 2], to: &mut [f32]);
}

/// A·U added to `to`, for rows that stand at `places`.
pub(super) fn add_inside(
    ops: Ops,
    places: Places,
    a: &[f32],
    (u, sizes): (&[f32], Sizes),
    to: &mut [f32],
) {
    use super::super::CHUNK;
    use super::super::ops::{How, To, rows};
    for (block, seen) in places.blocks() {
        ops.product(
            rows(&a[block.start * CHUNK..], CHUNK),
            Right {
                data: u,
                step: sizes.v_row,
            },
            (block.len(), seen, sizes.dv),
            To {
                data: &mut to[block.start * sizes.v_row..],
                row: sizes.v_row,
            },
            How::ADD,
        );
    }
}
