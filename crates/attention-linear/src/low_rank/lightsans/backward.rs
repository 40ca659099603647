//! Backward: from the gradients of K̄ and V̄ to those of K, V and the points.

use super::aggregate::{Aggregated, Points};
use super::{KEYS, Plan, VALUES};
use crate::low_rank::across;
use crate::low_rank::memory::{Grid, Layout, Shelf, Token, block, carve, padded};
use crate::low_rank::pieces::{Piece, Slot, count, keys, pieces, queries, slots};
use crate::low_rank::pool::PoolSizes;
use crate::low_rank::pool_back::{self, Pooled};
use crate::low_rank::read_back::{self, Targets};
use crate::low_rank::summary::{Summary, sum_pieces};
use attention::simd::{Block, Isa, Target};
use attention::{Geometry, Gradients, Problem, Scratch, Workers};
use ndarray::{ArrayD, ArrayView4};

/// Sums of pieces of keys, summaries, statistics, those of queries by piece and by head, sums of pieces of
/// queries, gradients of summaries, of points by piece, working memory.
pub(super) fn layout(plan: Plan, geometry: &Geometry, threads: usize) -> Layout<9> {
    let (shape, sizes) = (geometry.shape(), plan.sizes);
    let slots = shape.b * shape.hkv;
    let pieces = count(geometry, shape.hkv, keys);
    let work = |sizes| Points::floats(sizes) + Pooled::work(sizes);
    let work = read_back::floats(sizes)
        .max(Aggregated::work(plan))
        .max(work(plan.keys))
        .max(work(plan.values))
        .max(plan.work_across());
    let [partial, found] = plan.across(geometry, true);
    [
        (pieces, plan.keys.part() + plan.values.part()),
        (slots, sizes.summary_back()),
        (slots, 4 * sizes.mp()),
        partial,
        found,
        (count(geometry, shape.h, queries), sizes.rows()),
        (slots, sizes.rows()),
        (pieces, sizes.rows()),
        (threads, work),
    ]
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
    let points = Aggregated::points(plan, problem);
    let (geometry, shape) = (problem.geometry(), problem.shape());
    let group = shape.h / shape.hkv.max(1);
    let layout = layout(plan, geometry, workers.threads());
    let [
        partial,
        summaries,
        stats,
        of_queries,
        found,
        partial_back,
        totals,
        d_points,
        memory,
    ] = carve(scratch, layout);
    let aggregated = Aggregated {
        plan,
        points,
        partial,
        summaries,
        stats,
        memory,
    };
    aggregated.make(isa, problem, workers, true);
    let summary = |sequence, head| aggregated.summary(problem, sequence, head);
    let across = across::Shelves {
        partial: of_queries,
        found,
    };
    if plan.among_queries {
        across.fill(isa, problem, Some(&d_o), workers, memory, summary);
    }
    let targets = Targets {
        dq: Grid::cleared(&mut out.dq),
        partial: partial_back,
        memory,
    };
    read_back::backward(isa, problem, d_o, workers, targets, |sequence, head| {
        plan.known(across, problem, summary(sequence, head), (sequence, head))
    });
    // SAFETY: the scratch lives on, and nobody else uses the workers' memory during the call.
    let parts = || unsafe { memory.slices() };
    let total = |slot| Summary {
        // SAFETY: there is one for each history and key head.
        at: unsafe { totals.part(slot) },
        sizes: plan.sizes,
        m: plan.sizes.m,
    };
    let all = slots(geometry, shape.hkv, queries, group);
    workers.run_on(all, parts(), |slot: Slot, _| {
        // SAFETY: the pieces are finished, and the total is this task's alone.
        unsafe { sum_pieces(isa, partial_back, &slot, total(slot.index), problem.scale()) };
    });
    let (dk, dv) = (Grid::cleared(&mut out.dk), Grid::cleared(&mut out.dv));
    let all = pieces(geometry, shape.hkv, keys);
    workers.run_on(all, parts(), |piece: Piece, work| {
        let head = problem.head(piece.sequence, piece.head * group);
        let first = Token {
            sequence: piece.sequence,
            head: piece.head,
            token: piece.tokens.start,
            query: false,
        };
        let slot = piece.sequence * shape.hkv + piece.head;
        // SAFETY: rows and part are this piece's alone.
        let (d_tokens, d_points) = unsafe {
            (
                [dk.row(problem, first), dv.row(problem, first)],
                d_points.part(piece.index),
            )
        };
        let spread = Spread {
            aggregated,
            head: piece.head,
            slot,
            tokens: [
                block(head.k, piece.tokens.clone()),
                block(head.v, piece.tokens),
            ],
            total: total(slot),
            d_tokens,
            d_points: Summary {
                at: d_points,
                ..total(slot)
            },
            work: work.as_mut_ptr(),
        };
        spread.run(isa);
    });
    for (side, name) in [KEYS, VALUES].into_iter().enumerate() {
        if let Some(gradient) = out.tensors.get_mut(name) {
            let sizes = [plan.keys, plan.values][side];
            let offset = [0, plan.sizes.m * plan.sizes.dp()][side];
            sum_points(geometry, sizes, (d_points, offset), gradient);
        }
    }
}

/// From the gradient of pooled rows to a piece of tokens.
struct Spread {
    aggregated: Aggregated,
    head: usize,
    slot: usize,
    /// Keys and values, and so below.
    tokens: [Block<*const f32>; 2],
    total: Summary,
    d_tokens: [Target; 2],
    d_points: Summary,
    work: *mut f32,
}

impl Spread {
    fn run(self, isa: Isa) {
        let (plan, m) = (self.aggregated.plan, self.aggregated.plan.sizes.m);
        let summary = Summary {
            // SAFETY: there is one for each history and key head.
            at: unsafe { self.aggregated.summaries.part(self.slot) },
            sizes: plan.sizes,
            m,
        };
        let both = |s: Summary| [s.keys(), s.values()];
        let stats = self.aggregated.stats_of(self.slot);
        // SAFETY: rows and part are this task's alone, and the work this worker's.
        unsafe {
            let sums = self.d_points;
            std::slice::from_raw_parts_mut(sums.at, plan.sizes.rows()).fill(0.0);
            for (side, &stats) in stats.iter().enumerate() {
                let points = self.aggregated.points[side];
                let pooled = Pooled {
                    sizes: points.sizes,
                    over: plan.over,
                    points: points.rows(isa, self.head, self.work),
                    rows: both(summary)[side],
                    d_rows: both(self.total)[side],
                    stats,
                };
                let to = pool_back::Gradients {
                    keys: self.d_tokens[side],
                    tokens: self.d_tokens[side],
                    points: both(sums)[side],
                };
                let work = self.work.add(Points::floats(points.sizes));
                let tokens = self.tokens[side];
                pooled.add_gradients(isa, (tokens, tokens), to, work);
            }
        }
    }
}

/// The gradient of points `[Hkv, width, interests]`, summed over histories and pieces in their order.
fn sum_points(
    geometry: &Geometry,
    sizes: PoolSizes,
    (parts, offset): (Shelf, usize),
    gradient: &mut ArrayD<f32>,
) {
    let PoolSizes { m, d, .. } = sizes;
    gradient.fill(0.0);
    let Some(gradient) = gradient.as_slice_mut() else {
        return;
    };
    for piece in pieces(geometry, geometry.shape().hkv, keys) {
        let to = &mut gradient[piece.head * d * m..(piece.head + 1) * d * m];
        for r in 0..m {
            // SAFETY: the piece's sums are finished, and have m rows behind the offset.
            let row = unsafe {
                let row = parts.part(piece.index).add(offset + r * padded(d));
                std::slice::from_raw_parts(row.cast_const(), d)
            };
            for (c, x) in row.iter().enumerate() {
                to[c * m + r] += x;
            }
        }
    }
}
