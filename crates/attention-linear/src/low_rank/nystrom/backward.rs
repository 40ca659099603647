//! Backward: through the answers, the pseudo-inverse, the pools and the landmarks.

use super::Plan;
use super::forward::{self, Compressed};
use super::landmarks::spread;
use super::middle::{Center, CorrectBack};
use crate::low_rank::kernels::add_all;
use crate::low_rank::memory::{Grid, Layout, Shelf, Token, block, carve};
use crate::low_rank::pieces::{Piece, Slot, count, keys, pieces, queries, slots};
use crate::low_rank::pool::Over;
use crate::low_rank::pool_back::{self, Pooled};
use crate::low_rank::read_back::{self, Targets};
use crate::low_rank::summary::{Sizes, Summary};
use attention::simd::{Block, Isa, Target};
use attention::{Geometry, Gradients, Problem, Scratch, Workers};
use ndarray::ArrayView4;

/// Those of forward, then: sums by piece of queries; by history and head their total, and the gradients
/// of U and of the query landmarks; those by piece of keys; working memory.
pub(super) fn layout(plan: Plan, geometry: &Geometry, threads: usize) -> Layout<11> {
    let [a, b, c, d, e] = forward::shelves(plan, geometry, true);
    let (shape, sizes) = (geometry.shape(), plan.sizes);
    let slots = shape.b * shape.h;
    let work = forward::work(plan)
        .max(read_back::floats(sizes))
        .max(Pooled::work(plan.pool(sizes.m)));
    [
        a,
        b,
        c,
        d,
        e,
        (count(geometry, shape.h, queries), sizes.rows()),
        (slots, sizes.rows()),
        (slots, sizes.m * sizes.dvp()),
        (slots, sizes.m * sizes.dp()),
        (count(geometry, shape.h, keys), sizes.m * sizes.dp()),
        (threads, work),
    ]
}

/// What belongs to histories and heads on the way back.
#[derive(Clone, Copy)]
struct Shelves {
    totals: Shelf,
    d_pooled: Shelf,
    d_q_marks: Shelf,
    /// By piece of keys.
    d_points: Shelf,
}

/// Writes all gradients.
pub(super) fn backward(
    isa: Isa,
    plan: Plan,
    problem: &Problem<'_>,
    d_o: ArrayView4<'_, f32>,
    out: &mut Gradients,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let (geometry, shape) = (problem.geometry(), problem.shape());
    let layout = layout(plan, geometry, workers.threads());
    let [
        q_marks,
        k_marks,
        partial,
        summaries,
        pooled,
        sums,
        totals,
        d_pooled,
        d_q_marks,
        d_points,
        memory,
    ] = carve(scratch, layout);
    let compressed = Compressed {
        plan,
        q_marks,
        k_marks,
        partial,
        summaries,
        pooled,
        memory,
    };
    let shelves = Shelves {
        totals,
        d_pooled,
        d_q_marks,
        d_points,
    };
    compressed.make(isa, problem, workers, true);
    let dq = Grid::cleared(&mut out.dq);
    let targets = Targets {
        dq,
        partial: sums,
        memory,
    };
    let center = |sequence, head| compressed.center(problem, sequence, head);
    read_back::backward(isa, problem, d_o, workers, targets, |sequence, head| {
        center(sequence, head).summary
    });
    // SAFETY: the scratch lives on, and nobody else uses the workers' memory during the call.
    let parts = || unsafe { memory.slices() };
    let all = slots(geometry, shape.h, queries, 1);
    workers.run_on(all, parts(), |slot: Slot, work| {
        let center = center(slot.sequence, slot.head);
        if center.summary.m > 0 {
            shelves.correct(center, sums, slot, work).run(isa);
        }
    });
    let (dk, dv) = (Grid::cleared(&mut out.dk), Grid::cleared(&mut out.dv));
    let group = shape.h / shape.hkv.max(1);
    let all = pieces(geometry, shape.hkv, keys);
    workers.run_on(all, parts(), |piece: Piece, work| {
        let first = Token {
            sequence: piece.sequence,
            head: piece.head,
            token: piece.tokens.start,
            query: false,
        };
        // SAFETY: rows are this piece's alone.
        let (dk, dv) = unsafe { (dk.row(problem, first), dv.row(problem, first)) };
        for m in 0..group {
            let head = piece.head * group + m;
            let slot = piece.sequence * shape.h + head;
            let center = center(piece.sequence, head);
            let head = problem.head(piece.sequence, head);
            let tokens = piece.tokens.clone();
            let (pooled, points) = shelves.pooled(center, slot, piece.of_group(group, m));
            KeysBack {
                pooled,
                to: pool_back::Gradients {
                    keys: dk,
                    tokens: dv,
                    points,
                },
                k: block(head.k, tokens.clone()),
                v: block(head.v, tokens.clone()),
                total: shelves.total(slot, center),
                n: keys(geometry, piece.sequence),
                tokens,
                work: work.as_mut_ptr(),
            }
            .run(isa);
        }
    });
    let all = slots(geometry, shape.h, keys, 1);
    workers.run_on(all, parts(), |slot: Slot, _| {
        // SAFETY: the landmarks are this task's alone.
        let to = unsafe { d_q_marks.part(slot.index) };
        let floats = plan.sizes.m * plan.sizes.dp();
        for piece in slot.pieces.clone() {
            // SAFETY: the pieces are finished.
            unsafe { add_all(isa, d_points.part(piece), to, floats) };
        }
    });
    let all = pieces(geometry, shape.h, queries);
    workers.run_on(all, parts(), |piece: Piece, _| {
        if keys(geometry, piece.sequence) == 0 {
            return;
        }
        let n = queries(geometry, piece.sequence);
        let slot = piece.sequence * shape.h + piece.head;
        let first = Token {
            sequence: piece.sequence,
            head: piece.head,
            token: piece.tokens.start,
            query: true,
        };
        // SAFETY: rows are this piece's alone, and the landmarks finished.
        unsafe {
            let (marks, to) = (d_q_marks.part(slot), dq.row(problem, first));
            spread(isa, marks, plan.of(n), n, piece.tokens, to, shape.d);
        }
    });
}

impl Shelves {
    fn total(self, slot: usize, center: Center) -> Summary {
        Summary {
            // SAFETY: there is one for each history and query head.
            at: unsafe { self.totals.part(slot) },
            ..center.summary
        }
    }

    fn d_pooled(self, slot: usize, sizes: Sizes) -> Target {
        Target {
            // SAFETY: as above.
            data: unsafe { self.d_pooled.part(slot) },
            row: sizes.dvp(),
        }
    }

    fn correct(self, center: Center, sums: Shelf, slot: Slot, work: &mut [f32]) -> CorrectBack {
        let sizes = center.plan.sizes;
        CorrectBack {
            center,
            partial: sums,
            total: self.total(slot.index, center),
            d_pooled: self.d_pooled(slot.index, sizes),
            d_q_marks: Target {
                // SAFETY: there is one for each history and query head.
                data: unsafe { self.d_q_marks.part(slot.index) },
                row: sizes.dp(),
            },
            slot,
            work: work.as_mut_ptr(),
        }
    }

    /// The pool of a history and query head, and where a piece sums the gradient of its points.
    fn pooled(self, center: Center, slot: usize, piece: usize) -> (Pooled, Target) {
        let sizes = center.plan.sizes;
        let pooled = Pooled {
            sizes: center.plan.pool(center.inverse.rows),
            over: Over::Tokens,
            points: center.q_marks,
            rows: center.pooled,
            d_rows: self.d_pooled(slot, sizes),
            stats: center.stats,
        };
        let points = Target {
            // SAFETY: there is one for each piece of keys and query head.
            data: unsafe { self.d_points.part(piece) },
            row: sizes.dp(),
        };
        (pooled, points)
    }
}

/// Gradients of a piece of keys and values by one query head.
struct KeysBack {
    pooled: Pooled,
    to: pool_back::Gradients,
    k: Block<*const f32>,
    v: Block<*const f32>,
    /// Its keys are the gradient of the key landmarks.
    total: Summary,
    /// Keys of the history, and those of the piece.
    n: usize,
    tokens: std::ops::Range<usize>,
    work: *mut f32,
}

impl KeysBack {
    fn run(self, isa: Isa) {
        let Sizes { m, d, .. } = self.total.sizes;
        // SAFETY: rows and part are this task's alone, and the work this worker's.
        unsafe {
            let points = self.to.points;
            std::slice::from_raw_parts_mut(points.data, m * points.row).fill(0.0);
            if self.tokens.is_empty() {
                return;
            }
            self.pooled
                .add_gradients(isa, (self.k, self.v), self.to, self.work);
            let marks = self.total.keys().data.cast_const();
            spread(
                isa,
                marks,
                self.total.m,
                self.n,
                self.tokens,
                self.to.keys,
                d,
            );
        }
    }
}
