//! O = softmax(scale·Q·K̂ᵀ)·V̂: what all variants of the family do once they have K̂ and V̂.

use super::memory::{Shelf, block};
use super::pieces::TOKENS;
use super::summary::{Sizes, Summary, right};
use super::tile::{Write, WriteRows, soften};
use attention::simd::{Block, Isa, Kernel, Left, Target, Vector, dispatch, product};
use attention::{Geometry, OutputMut, Workers};
use ndarray::ArrayView2;

/// Queries of a task.
const QUERIES: usize = 4 * TOKENS;

/// Working memory of one worker, in floats.
pub(crate) fn floats(sizes: Sizes) -> usize {
    TOKENS * sizes.mp() + TOKENS
}

/// Writes O of the `queries` of each history and head; `summary` gives what stands for the keys that
/// they see.
///
/// A history of which no key is visible has no rows in its summary, and O = 0.
pub(crate) fn forward<'q>(
    isa: Isa,
    geometry: &Geometry,
    out: OutputMut<'_>,
    workers: &Workers,
    memory: Shelf,
    queries: impl Fn(usize, usize) -> ArrayView2<'q, f32> + Sync,
    summary: impl Fn(usize, usize) -> Summary + Sync,
) {
    let blocks = out.row_blocks(geometry, QUERIES);
    // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
    let parts = unsafe { memory.slices() };
    workers.run_on(blocks, parts, |mut rows, work| {
        let q = queries(rows.sequence, rows.head);
        let summary = summary(rows.sequence, rows.head);
        let to = Target {
            row: rows.o.strides()[0].unsigned_abs(),
            data: rows.o.as_mut_ptr(),
        };
        if summary.m == 0 {
            rows.o.fill(0.0);
            return;
        }
        let read = Read {
            q: block(q, rows.rows),
            summary,
            o: to,
            work: work.as_mut_ptr(),
        };
        dispatch(isa, read);
    });
}

struct Read {
    q: Block<*const f32>,
    summary: Summary,
    o: Target,
    work: *mut f32,
}

impl Kernel for Read {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Sizes { dv, .. } = self.summary.sizes;
        let weights = Target {
            data: self.work,
            row: self.summary.sizes.mp(),
        };
        let mut row = 0;
        while row < self.q.rows {
            let rows = (self.q.rows - row).min(TOKENS);
            // SAFETY: dispatched; the blocks lie within Q, O and the worker's memory.
            unsafe {
                let factors = self.work.add(TOKENS * weights.row);
                let q = self.q.at.add(row * self.q.stride);
                weigh::<V>((q, self.q.stride), rows, self.summary, weights, factors);
                let finish = WriteRows {
                    to: self.o.below(row),
                    width: dv,
                    factors,
                };
                let sizes = (rows, self.summary.m, dv);
                product::<V, _>(left(weights), right(self.summary.values()), sizes, finish);
            }
            row += rows;
        }
    }
}

/// Rows as the operand that is read float by float.
pub(crate) fn left(rows: Target) -> Left {
    Left {
        data: rows.data.cast_const(),
        row: rows.row,
        step: 1,
    }
}

/// The transpose of rows as the operand that is read float by float.
pub(crate) fn left_turned(rows: Target) -> Left {
    Left {
        data: rows.data.cast_const(),
        row: 1,
        step: rows.row,
    }
}

/// Weights of `rows` queries before the division, and one over their sums.
///
/// # Safety
/// V's instructions are enabled; queries, summary and room for both results are there.
#[inline(always)]
pub(crate) unsafe fn weigh<V: Vector>(
    (q, stride): (*const f32, usize),
    rows: usize,
    summary: Summary,
    weights: Target,
    factors: *mut f32,
) {
    let queries = Left {
        data: q,
        row: stride,
        step: 1,
    };
    let finish = Write {
        to: weights,
        width: weights.row,
        factor: 1.0,
    };
    let sizes = (rows, summary.sizes.d, summary.m);
    // SAFETY: the caller's.
    unsafe {
        product::<V, _>(queries, right(summary.keys_t()), sizes, finish);
        soften::<V>(weights, rows, summary.m, factors);
    }
}
