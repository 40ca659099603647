//! O = softmax(scale·Q·K̂ᵀ)·V̂: what all variants of the family do once they have K̂ and V̂.

use super::across::Across;
use super::kernels::{Ending, cut, fetch, left, normalise, product, right, soften, tokens};
use super::memory::{Shelf, block};
use super::pieces::TOKENS;
use super::summary::{Sizes, Summary};
use attention::simd::{Block, Isa, Target};
use attention::{Geometry, OutputMut, Workers};
use ndarray::ArrayView2;

/// K̂ and V̂, and what is known of all queries where the softmax goes over these.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) summary: Summary,
    pub(crate) across: Option<Across>,
}

impl From<Summary> for Known {
    fn from(summary: Summary) -> Self {
        Self {
            summary,
            across: None,
        }
    }
}

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
pub(crate) fn forward<'q, K: Into<Known>>(
    isa: Isa,
    geometry: &Geometry,
    out: OutputMut<'_>,
    workers: &Workers,
    memory: Shelf,
    queries: impl Fn(usize, usize) -> ArrayView2<'q, f32> + Sync,
    summary: impl Fn(usize, usize) -> K + Sync,
) {
    let blocks = out.row_blocks(geometry, QUERIES);
    // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
    let parts = unsafe { memory.slices() };
    workers.run_on(blocks, parts, |mut rows, work| {
        let q = queries(rows.sequence, rows.head);
        let known: Known = summary(rows.sequence, rows.head).into();
        let to = Target {
            row: rows.o.strides()[0].unsigned_abs(),
            data: rows.o.as_mut_ptr(),
        };
        if known.summary.m == 0 {
            rows.o.fill(0.0);
            return;
        }
        let read = Read {
            q: block(q, rows.rows),
            known,
            o: to,
            work: work.as_mut_ptr(),
        };
        read.run(isa);
    });
}

struct Read {
    q: Block<*const f32>,
    known: Known,
    o: Target,
    work: *mut f32,
}

impl Read {
    fn run(self, isa: Isa) {
        let Summary { sizes, m, .. } = self.known.summary;
        let values = right(self.known.summary.values());
        let weights = Target {
            data: self.work,
            row: sizes.mp(),
        };
        let mut row = 0;
        while row < self.q.rows {
            let rows = (self.q.rows - row).min(TOKENS);
            // SAFETY: the blocks lie within Q, O and the worker's memory.
            unsafe {
                let factors = self.work.add(TOKENS * weights.row);
                let q = cut(self.q, row, rows);
                weigh(isa, q, self.known, weights, factors);
                let after = row + rows;
                fetch(isa, cut(self.q, after, (self.q.rows - after).min(TOKENS)));
                let write = Ending::write_rows(self.o.below(row), sizes.dv, factors);
                let size = (rows, m, sizes.dv);
                product(isa, left(weights), values, size, write);
            }
            row += rows;
        }
    }
}

/// Weights of some queries before the division, and one over their sums.
///
/// # Safety
/// Queries, summary and room for both results are there.
pub(crate) unsafe fn weigh(
    isa: Isa,
    q: Block<*const f32>,
    Known { summary, across }: Known,
    weights: Target,
    factors: *mut f32,
) {
    let write = Ending::write(weights, weights.row, 1.0);
    let sizes = (q.rows, summary.sizes.d, summary.m);
    // SAFETY: the caller's.
    unsafe {
        product(isa, tokens(q), right(summary.keys_t()), sizes, write);
        let Some(Across { stats, .. }) = across else {
            return soften(isa, weights, q.rows, summary.m, factors);
        };
        let (tops, inverses) = (stats.tops(), stats.inverses());
        normalise(isa, tops, inverses, weights, q.rows, summary.m);
        std::slice::from_raw_parts_mut(factors, q.rows).fill(1.0);
    }
}
