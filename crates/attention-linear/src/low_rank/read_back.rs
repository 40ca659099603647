//! The gradient of [`read`](super::read): dQ, dK̂ and dV̂ from dO.
//!
//! With P the weights and dP = dO·V̂ᵀ: dS = P∘(dP - Σ P∘dP), dQ = scale·dS·K̂, dK̂ = scale·dSᵀ·Q,
//! dV̂ = Pᵀ·dO. A task is a piece of a head's queries with sums of its own for dK̂ and dV̂.

use super::across::Across;
use super::kernels::{
    Ending, block, cut, left, left_turned, normalise_back, product, right, scale_rows, soften_back,
    whole,
};
use super::memory::{self, Grid, Shelf, Token, rows_of};
use super::pieces::{Piece, TOKENS, pieces, queries};
use super::read::{Known, weigh};
use super::summary::{Sizes, Summary};
use attention::simd::{Block, Isa, Target};
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
pub(crate) fn backward<K: Into<Known>>(
    isa: Isa,
    problem: &Problem<'_>,
    d_o: ArrayView4<'_, f32>,
    workers: &Workers,
    targets: Targets,
    summary: impl Fn(usize, usize) -> K + Sync,
) {
    let all = pieces(problem.geometry(), problem.shape().h, queries);
    // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
    let parts = unsafe { targets.memory.slices() };
    workers.run_on(all, parts, |piece: Piece, work| {
        let known: Known = summary(piece.sequence, piece.head).into();
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
        ReadBack {
            q: memory::block(head.q, piece.tokens.clone()),
            d_o: memory::block(d_o, piece.tokens),
            known,
            scale: problem.scale(),
            dq,
            partial: Summary {
                at: partial,
                ..known.summary
            },
            work: work.as_mut_ptr(),
        }
        .run(isa);
    });
}

struct ReadBack {
    q: Block<*const f32>,
    d_o: Block<*const f32>,
    known: Known,
    scale: f32,
    dq: Target,
    partial: Summary,
    work: *mut f32,
}

impl ReadBack {
    fn run(self, isa: Isa) {
        let (summary, sizes) = (self.known.summary, self.known.summary.sizes);
        let Sizes { d, dv, .. } = sizes;
        let (m, mp) = (summary.m, sizes.mp());
        // SAFETY: blocks lie within Q, dO, dQ, the piece's part and the worker's memory.
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
                let q = whole(isa, cut(self.q, row, rows), queries);
                let d_o = whole(isa, cut(self.d_o, row, rows), d_outputs);
                weigh(isa, block(q, rows, d), self.known, weights, factors);
                scale_rows(isa, weights, rows, m, factors);
                let to = Ending::write(d_weights, mp, 1.0);
                let values = right(summary.values_t());
                product(isa, left(d_o), values, (rows, dv, m), to);
                match self.known.across {
                    None => soften_back(isa, weights, d_weights, rows, m),
                    Some(Across { delta, .. }) => {
                        normalise_back(isa, weights, d_weights, rows, m, delta, 1.0);
                    }
                }
                let to = Ending::write(self.dq.below(row), d, self.scale);
                let keys = right(summary.keys());
                product(isa, left(d_weights), keys, (rows, m, d), to);
                let to = Ending::add(self.partial.keys(), d);
                product(isa, left_turned(d_weights), right(q), (m, rows, d), to);
                let to = Ending::add(self.partial.values(), dv);
                product(isa, left_turned(weights), right(d_o), (m, rows, dv), to);
                row += rows;
            }
        }
    }
}
