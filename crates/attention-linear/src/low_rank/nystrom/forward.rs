//! Forward: landmarks, pools of values, the pseudo-inverse, then the answers.

use super::Plan;
use super::gather::gather;
use super::middle::{Center, Correct};
use crate::low_rank::memory::{Layout, Shelf, block, carve};
use crate::low_rank::pieces::{Piece, Slot, count, keys, pieces, queries, slots};
use crate::low_rank::pool::{Over, Part, PoolSizes, Stats};
use crate::low_rank::read;
use crate::low_rank::summary::Summary;
use attention::simd::{Block, Isa, Target};
use attention::{Geometry, OutputMut, Problem, Scratch, Workers};

/// Where forward keeps what belongs to histories and heads.
#[derive(Clone, Copy)]
pub(super) struct Compressed {
    pub(super) plan: Plan,
    /// Landmarks by history and query head, and by history and key head.
    pub(super) q_marks: Shelf,
    pub(super) k_marks: Shelf,
    /// Pools by piece of keys.
    pub(super) partial: Shelf,
    /// By history and query head: K̂ and V̂; U and its statistics.
    pub(super) summaries: Shelf,
    pub(super) pooled: Shelf,
    pub(super) memory: Shelf,
}

/// Sizes of the shelves of [`Compressed`], but for the workers' memory.
pub(super) fn shelves(plan: Plan, geometry: &Geometry, backward: bool) -> Layout<5> {
    let (shape, sizes) = (geometry.shape(), plan.sizes);
    let summary = if backward {
        sizes.summary_back()
    } else {
        sizes.summary()
    };
    [
        (shape.b * shape.h, sizes.m * sizes.dp()),
        (shape.b * shape.hkv, sizes.m * sizes.dp()),
        (count(geometry, shape.h, keys), plan.pool(sizes.m).part()),
        (shape.b * shape.h, summary),
        (shape.b * shape.h, sizes.m * sizes.dvp() + 2 * sizes.mp()),
    ]
}

/// Floats of a worker.
pub(super) fn work(plan: Plan) -> usize {
    read::floats(plan.sizes)
        .max(plan.pool(plan.sizes.m).work())
        .max(Center::work(plan))
}

/// Sizes of all shelves of a forward call.
pub(super) fn layout(plan: Plan, geometry: &Geometry, threads: usize) -> Layout<6> {
    let [a, b, c, d, e] = shelves(plan, geometry, false);
    [a, b, c, d, e, (threads, work(plan))]
}

/// Writes O.
pub(super) fn forward(
    isa: Isa,
    plan: Plan,
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let layout = layout(plan, problem.geometry(), workers.threads());
    let [q_marks, k_marks, partial, summaries, pooled, memory] = carve(scratch, layout);
    let compressed = Compressed {
        plan,
        q_marks,
        k_marks,
        partial,
        summaries,
        pooled,
        memory,
    };
    compressed.make(isa, problem, workers, false);
    let queries = |sequence, head| problem.head(sequence, head).q;
    let summary = |sequence, head| compressed.center(problem, sequence, head).summary;
    let geometry = problem.geometry();
    read::forward(isa, geometry, out, workers, memory, queries, summary);
}

impl Compressed {
    /// What belongs to a history and query head.
    pub(super) fn center(self, problem: &Problem<'_>, sequence: usize, head: usize) -> Center {
        let (geometry, shape) = (problem.geometry(), problem.shape());
        let sizes = self.plan.sizes;
        let (slot, n) = (sequence * shape.h + head, keys(geometry, sequence));
        let key_slot = sequence * shape.hkv + geometry.key_head(head);
        let rows = |data, row| Target { data, row };
        // SAFETY: there is a part for each history and head.
        unsafe {
            let pooled = self.pooled.part(slot);
            Center {
                plan: self.plan,
                inverse: self.plan.inverse(queries(geometry, sequence), n),
                q_marks: rows(self.q_marks.part(slot), sizes.dp()),
                k_marks: rows(self.k_marks.part(key_slot), sizes.dp()),
                pooled: rows(pooled, sizes.dvp()),
                stats: Stats {
                    at: pooled.wrapping_add(sizes.m * sizes.dvp()),
                    mp: sizes.mp(),
                },
                summary: Summary {
                    at: self.summaries.part(slot),
                    sizes,
                    m: self.plan.of(n),
                },
            }
        }
    }

    /// Writes landmarks, pools and summaries.
    pub(super) fn make(self, isa: Isa, problem: &Problem<'_>, workers: &Workers, backward: bool) {
        let (geometry, shape) = (problem.geometry(), problem.shape());
        let marks = (self.q_marks, self.k_marks);
        gather(isa, self.plan, problem, workers, marks, self.memory);
        // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
        let parts = || unsafe { self.memory.slices() };
        let all = pieces(geometry, shape.h, keys);
        workers.run_on(all, parts(), |piece: Piece, work| {
            let center = self.center(problem, piece.sequence, piece.head);
            let head = problem.head(piece.sequence, piece.head);
            let pool = Pool {
                points: center.q_marks,
                sizes: self.plan.pool(center.inverse.rows),
                k: block(head.k, piece.tokens.clone()),
                v: block(head.v, piece.tokens),
                // SAFETY: the part is this piece's alone.
                part: unsafe { self.partial.part(piece.index) },
                work: work.as_mut_ptr(),
            };
            pool.run(isa);
        });
        let all = slots(geometry, shape.h, keys, 1);
        workers.run_on(all, parts(), |slot: Slot, work| {
            if slot.pieces.is_empty() {
                return;
            }
            let correct = Correct {
                center: self.center(problem, slot.sequence, slot.head),
                partial: self.partial,
                slot,
                backward,
                work: work.as_mut_ptr(),
            };
            correct.run(isa);
        });
    }
}

struct Pool {
    points: Target,
    sizes: PoolSizes,
    k: Block<*const f32>,
    v: Block<*const f32>,
    part: *mut f32,
    work: *mut f32,
}

impl Pool {
    fn run(self, isa: Isa) {
        let part = Part {
            at: self.part,
            sizes: self.sizes,
        };
        // SAFETY: the part is this piece's alone, and the work this worker's.
        unsafe { part.fill(isa, Over::Tokens, self.points, (self.k, self.v), self.work) }
    }
}
