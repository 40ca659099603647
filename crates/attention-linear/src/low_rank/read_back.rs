//! The gradient of [`read`](super::read): dQ, dK̂ and dV̂ from dO.
//!
//! With P the weights and dP = dO·V̂ᵀ: dS = P∘(dP - Σ P∘dP), dQ = scale·dS·K̂, dK̂ = scale·dSᵀ·Q,
//! dV̂ = Pᵀ·dO. A task is a piece of a head's queries with sums of its own for dK̂ and dV̂.

use super::memory::{Grid, Shelf, Token, block, rows_of};
use super::pieces::{Piece, TOKENS, pieces, queries};
use super::read::{left, left_turned, weigh};
use super::summary::{Sizes, Summary, right};
use super::tile::{Write, copied, scale_rows, soften_back};
use attention::simd::{Add, Block, Isa, Kernel, Target, Vector, dispatch, product};
use attention::{Problem, Workers};
use ndarray::ArrayView4;

/// Working memory of one worker, in floats.
pub(crate) fn floats(sizes: Sizes) -> usize {
    TOKENS * (2 * sizes.mp() + sizes.dp() + sizes.dvp() + 1)
}

/// Where the gradient of a read goes.
#[derive(Clone, Copy)]
pub(crate) struct Targets {
    pub(crate) dq: Grid,
    /// Of each piece of queries, dK̂ / scale `[m, D]` and dV̂ `[m, Dv]`, rows filled up.
    pub(crate) partial: Shelf,
    pub(crate) memory: Shelf,
}

/// Writes dQ, and partial sums of dK̂ and dV̂.
pub(crate) fn backward(
    isa: Isa,
    problem: &Problem<'_>,
    d_o: ArrayView4<'_, f32>,
    workers: &Workers,
    targets: Targets,
    summary: impl Fn(usize, usize) -> Summary + Sync,
) {
    let all = pieces(problem.geometry(), problem.shape().h, queries);
    // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
    let parts = unsafe { targets.memory.slices() };
    workers.run_on(all, parts, |piece: Piece, work| {
        let summary = summary(piece.sequence, piece.head);
        let head = problem.head(piece.sequence, piece.head);
        let d_o = rows_of(&d_o, problem, piece.sequence, piece.head);
        let first = Token {
            sequence: piece.sequence,
            head: piece.head,
            token: piece.tokens.start,
            query: true,
        };
        // SAFETY: rows and part are this piece's alone.
        let (dq, partial) = unsafe {
            (
                targets.dq.row(problem, first),
                targets.partial.part(piece.index),
            )
        };
        dispatch(
            isa,
            ReadBack {
                q: block(head.q, piece.tokens.clone()),
                d_o: block(d_o, piece.tokens),
                summary,
                scale: problem.scale(),
                dq,
                partial: Summary {
                    at: partial,
                    ..summary
                },
                work: work.as_mut_ptr(),
            },
        );
    });
}

struct ReadBack {
    q: Block<*const f32>,
    d_o: Block<*const f32>,
    summary: Summary,
    scale: f32,
    dq: Target,
    partial: Summary,
    work: *mut f32,
}

impl Kernel for ReadBack {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (summary, sizes) = (self.summary, self.summary.sizes);
        let Sizes { d, dv, .. } = sizes;
        let (m, mp) = (summary.m, sizes.mp());
        // SAFETY: dispatched; blocks lie within Q, dO, dQ, the piece's part and the worker's memory.
        unsafe {
            std::slice::from_raw_parts_mut(self.partial.at, sizes.rows()).fill(0.0);
            let tile = |at| Target { data: at, row: mp };
            let weights = tile(self.work);
            let d_weights = tile(self.work.add(TOKENS * mp));
            let queries = self.work.add(2 * TOKENS * mp);
            let d_outputs = queries.add(TOKENS * sizes.dp());
            let factors = d_outputs.add(TOKENS * sizes.dvp());
            let mut row = 0;
            while row < self.q.rows && m > 0 {
                let rows = (self.q.rows - row).min(TOKENS);
                let cut = |x: Block<*const f32>| Block {
                    at: x.at.add(row * x.stride),
                    rows,
                    ..x
                };
                let q = copied::<V>(cut(self.q), queries);
                let d_o = copied::<V>(cut(self.d_o), d_outputs);
                weigh::<V>((q.at, q.stride), rows, summary, weights, factors);
                scale_rows::<V>(weights, rows, m, factors);
                let (q, d_o) = (as_target(q), as_target(d_o));
                let write = |to, width, factor| Write { to, width, factor };
                let to = write(d_weights, mp, 1.0);
                product::<V, _>(left(d_o), right(summary.values_t()), (rows, dv, m), to);
                soften_back::<V>(weights, d_weights, rows, m);
                let to = write(self.dq.below(row), d, self.scale);
                product::<V, _>(left(d_weights), right(summary.keys()), (rows, m, d), to);
                let add = |to, width| Add { to, rows: m, width };
                let to = add(self.partial.keys(), d);
                product::<V, _>(left_turned(d_weights), right(q), (m, rows, d), to);
                let to = add(self.partial.values(), dv);
                product::<V, _>(left_turned(weights), right(d_o), (m, rows, dv), to);
                row += rows;
            }
        }
    }
}

fn as_target(x: Block<*const f32>) -> Target {
    Target {
        data: x.at.cast_mut(),
        row: x.stride,
    }
}
