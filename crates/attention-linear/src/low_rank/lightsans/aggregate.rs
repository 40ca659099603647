//! K̄ and V̄: what stands for keys and values.

use super::{KEYS, Plan, VALUES};
use crate::low_rank::kernels::turn;
use crate::low_rank::memory::{Shelf, block, padded};
use crate::low_rank::pieces::{Piece, Slot, keys, pieces, slots};
use crate::low_rank::pool::{Over, Part, PoolSizes, Stats, merge};
use crate::low_rank::summary::Summary;
use attention::simd::{Block, Isa, Target};
use attention::{Problem, Workers};

/// Learned points `[Hkv, width, interests]`.
#[derive(Clone, Copy)]
pub(super) struct Points {
    data: *const f32,
    pub(super) sizes: PoolSizes,
}

// SAFETY: they are read only, and outlive the call.
unsafe impl Send for Points {}
// SAFETY: as above.
unsafe impl Sync for Points {}

impl Points {
    /// A tensor of the problem that is known to be there, in row-major order.
    fn of(problem: &Problem<'_>, name: &str, sizes: PoolSizes) -> Self {
        let tensor = problem.tensor(name);
        let data = tensor.map_or(std::ptr::null(), |t| t.as_ptr());
        Self { data, sizes }
    }

    /// Floats of the points of a head as rows.
    pub(super) fn floats(sizes: PoolSizes) -> usize {
        sizes.m * padded(sizes.d)
    }

    /// The points of a head as rows `[interests, width]`, filled up.
    ///
    /// # Safety
    /// The head exists, and `to` has room for the rows.
    pub(super) unsafe fn rows(self, isa: Isa, head: usize, to: *mut f32) -> Target {
        let PoolSizes { m, d, .. } = self.sizes;
        let tensor = Target {
            data: self.data.wrapping_add(head * d * m).cast_mut(),
            row: m,
        };
        let to = Target {
            data: to,
            row: padded(d),
        };
        // SAFETY: the caller's.
        unsafe { turn(isa, tensor, d, m, 1.0, to) };
        to
    }
}

/// What is pooled, and where the results lie.
#[derive(Clone, Copy)]
pub(super) struct Aggregated {
    pub(super) plan: Plan,
    /// Of keys and of values.
    pub(super) points: [Points; 2],
    /// Sums of each piece of keys.
    pub(super) partial: Shelf,
    /// A summary for each history and key head, and the statistics of its pools.
    pub(super) summaries: Shelf,
    pub(super) stats: Shelf,
    pub(super) memory: Shelf,
}

impl Aggregated {
    /// The points that a problem gives.
    pub(super) fn points(plan: Plan, problem: &Problem<'_>) -> [Points; 2] {
        [(KEYS, plan.keys), (VALUES, plan.values)]
            .map(|(name, sizes)| Points::of(problem, name, sizes))
    }

    /// Floats of a worker.
    pub(super) fn work(plan: Plan) -> usize {
        let of = |sizes: PoolSizes| Points::floats(sizes) + sizes.work();
        of(plan.keys).max(of(plan.values))
    }

    /// What stands for the keys of a history as a query head sees them.
    pub(super) fn summary(self, problem: &Problem<'_>, sequence: usize, head: usize) -> Summary {
        let geometry = problem.geometry();
        let slot = sequence * geometry.shape().hkv + geometry.key_head(head);
        let m = match keys(geometry, sequence) {
            0 => 0,
            _ => self.plan.sizes.m,
        };
        self.of_slot(slot, m)
    }

    fn of_slot(self, slot: usize, m: usize) -> Summary {
        Summary {
            // SAFETY: there is one for each history and key head.
            at: unsafe { self.summaries.part(slot) },
            sizes: self.plan.sizes,
            m,
        }
    }

    /// Statistics of the pools of keys and of values.
    pub(super) fn stats_of(self, slot: usize) -> [Stats; 2] {
        let mp = self.plan.sizes.mp();
        // SAFETY: there are two for each history and key head.
        let at = unsafe { self.stats.part(slot) };
        [at, at.wrapping_add(2 * mp)].map(|at| Stats { at, mp })
    }

    /// Writes all summaries.
    pub(super) fn make(self, isa: Isa, problem: &Problem<'_>, workers: &Workers, backward: bool) {
        let (geometry, shape) = (problem.geometry(), problem.shape());
        let group = shape.h / shape.hkv.max(1);
        let all = pieces(geometry, shape.hkv, keys);
        // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
        let parts = unsafe { self.memory.slices() };
        workers.run_on(all, parts, |piece: Piece, work| {
            let head = problem.head(piece.sequence, piece.head * group);
            Aggregate {
                all: self,
                k: block(head.k, piece.tokens.clone()),
                v: block(head.v, piece.tokens.clone()),
                piece,
                work: work.as_mut_ptr(),
            }
            .run(isa);
        });
        // SAFETY: as above.
        let parts = unsafe { self.memory.slices() };
        workers.run_on(slots(geometry, shape.hkv, keys, 1), parts, |slot, _| {
            let scale = problem.scale();
            Finish {
                all: self,
                slot,
                scale,
                backward,
            }
            .run(isa);
        });
    }
}

struct Aggregate {
    all: Aggregated,
    k: Block<*const f32>,
    v: Block<*const f32>,
    piece: Piece,
    work: *mut f32,
}

impl Aggregate {
    fn run(self, isa: Isa) {
        let [of_keys, of_values] = self.all.points;
        // SAFETY: the part is this piece's alone, and the work this worker's.
        unsafe {
            let part = self.all.partial.part(self.piece.index);
            let values = part.add(of_keys.sizes.part());
            let sides = [(of_keys, self.k, part), (of_values, self.v, values)];
            for (points, tokens, at) in sides {
                let rows = points.rows(isa, self.piece.head, self.work);
                let work = self.work.add(Points::floats(points.sizes));
                let part = Part {
                    at,
                    sizes: points.sizes,
                };
                part.fill(isa, self.all.plan.over, rows, (tokens, tokens), work);
            }
        }
    }
}

struct Finish {
    all: Aggregated,
    slot: Slot,
    scale: f32,
    backward: bool,
}

impl Finish {
    fn run(self, isa: Isa) {
        let Plan {
            sizes,
            keys,
            values,
            over,
            ..
        } = self.all.plan;
        let over: Over = over;
        let summary = self.all.of_slot(self.slot.index, sizes.m);
        let [of_keys, of_values] = self.all.stats_of(self.slot.index);
        let partial = self.all.partial;
        // SAFETY: the pieces are finished, and the summary is this task's alone.
        unsafe {
            let parts = (partial, 0);
            merge(parts, &self.slot, keys, over, summary.keys(), of_keys);
            let parts = (partial, keys.part());
            merge(parts, &self.slot, values, over, summary.values(), of_values);
            summary.seal(isa, self.scale, self.backward);
        }
    }
}
