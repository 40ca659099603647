//! Softmax over the queries of a history, for each row of its summary: what has to be known of all
//! queries before any is answered, or differentiated.
//!
//! P_ir = exp(s_ir)/Σ_i exp(s_ir). With dP = dO·V̂ᵀ: dS = P∘(dP - δ) with δ_r = Σ_i P_ir·dP_ir, which is
//! dV̂_r·V̂_r for dV̂ = Pᵀ·dO. So dO is pooled as the queries' tokens, and nothing of size N is kept.

use super::kernels::{self, dot_rows};
use super::memory::{Layout, Shelf, block, padded, rows_of};
use super::pieces::{Piece, Slot, count, pieces, queries, slots};
use super::pool::{Over, Part, PoolSizes, Stats, merge};
use super::summary::{Sizes, Summary};
use attention::simd::{Isa, Target};
use attention::{Geometry, Problem, Workers};
use ndarray::ArrayView4;

/// What is known of a history's queries in one head.
#[derive(Clone, Copy)]
pub(crate) struct Across {
    pub(crate) stats: Stats,
    /// δ, where there is a dO.
    pub(crate) delta: *mut f32,
}

/// Where that is kept: pools of each piece of queries, and what they come to for each head.
#[derive(Clone, Copy)]
pub(crate) struct Shelves {
    pub(crate) partial: Shelf,
    pub(crate) found: Shelf,
}

fn pool(sizes: Sizes, scale: f32, backward: bool) -> PoolSizes {
    PoolSizes {
        m: sizes.m,
        most: sizes.m,
        d: sizes.d,
        width: if backward { sizes.dv } else { 0 },
        scale,
    }
}

/// Sizes of the [`Shelves`].
pub(crate) fn layout(sizes: Sizes, geometry: &Geometry, backward: bool) -> Layout<2> {
    let (shape, pool) = (geometry.shape(), pool(sizes, 1.0, backward));
    let found = 3 * sizes.mp() + sizes.m * padded(pool.width);
    [
        (count(geometry, shape.h, queries), pool.part()),
        (shape.b * shape.h, found),
    ]
}

/// Floats of a worker.
pub(crate) fn work(sizes: Sizes) -> usize {
    pool(sizes, 1.0, true).work()
}

impl Shelves {
    /// What is known of a history's queries in a head.
    pub(crate) fn of(self, problem: &Problem<'_>, sizes: Sizes, at: (usize, usize)) -> Across {
        let (sequence, head) = at;
        // SAFETY: there is a part for each history and query head.
        let at = unsafe { self.found.part(sequence * problem.shape().h + head) };
        let mp = sizes.mp();
        Across {
            stats: Stats { at, mp },
            delta: at.wrapping_add(2 * mp),
        }
    }

    /// Goes over all queries, with dO for a way back.
    pub(crate) fn fill(
        self,
        isa: Isa,
        problem: &Problem<'_>,
        d_o: Option<&ArrayView4<'_, f32>>,
        workers: &Workers,
        memory: Shelf,
        summary: impl Fn(usize, usize) -> Summary + Sync,
    ) {
        let (geometry, h) = (problem.geometry(), problem.shape().h);
        // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
        let parts = || unsafe { memory.slices() };
        workers.run_on(
            pieces(geometry, h, queries),
            parts(),
            |piece: Piece, work| {
                let Piece { sequence, head, .. } = piece;
                let summary = summary(sequence, head);
                if summary.m == 0 {
                    return;
                }
                let q = block(problem.head(sequence, head).q, piece.tokens.clone());
                let tokens = match d_o {
                    Some(d_o) => block(rows_of(d_o, problem, sequence, head), piece.tokens),
                    None => attention::simd::Block { width: 0, ..q },
                };
                let part = Part {
                    // SAFETY: the part is this piece's alone.
                    at: unsafe { self.partial.part(piece.index) },
                    sizes: pool(summary.sizes, problem.scale(), d_o.is_some()),
                };
                let (keys, work) = (summary.keys(), work.as_mut_ptr());
                // SAFETY: queries and dO are there, and the work is this worker's.
                unsafe { part.fill(isa, Over::Tokens, keys, (q, tokens), work) };
            },
        );
        workers.run_on(slots(geometry, h, queries, 1), parts(), |slot: Slot, _| {
            let summary = summary(slot.sequence, slot.head);
            if summary.m == 0 || slot.pieces.is_empty() {
                return;
            }
            let (m, sizes) = (summary.m, summary.sizes);
            let pool = pool(sizes, problem.scale(), d_o.is_some());
            let found = self.of(problem, sizes, (slot.sequence, slot.head));
            let d_values = Target {
                data: found.delta.wrapping_add(sizes.mp()),
                row: padded(pool.width),
            };
            let (parts, over) = ((self.partial, 0), Over::Tokens);
            // SAFETY: the pieces are finished, and what is found is this task's alone.
            unsafe {
                merge(parts, &slot, pool, over, d_values, found.stats);
                std::slice::from_raw_parts_mut(found.delta, sizes.mp()).fill(0.0);
                let values = kernels::block(summary.values(), m, pool.width);
                let d_values = kernels::block(d_values, m, pool.width);
                dot_rows(isa, d_values, values, found.delta);
            }
        });
    }
}
