//! Between the products over tokens: A, its pseudo-inverse Z, V̂ = Z·U with U = B·V, and the way back.

use super::Plan;
use crate::low_rank::inverse::Inverse;
use crate::low_rank::kernels::{
    Ending, block, left, left_turned, product, right, scale_rows, soften_back, turn,
};
use crate::low_rank::memory::Shelf;
use crate::low_rank::pieces::Slot;
use crate::low_rank::pool::{Over, Stats, merge};
use crate::low_rank::read::weigh;
use crate::low_rank::summary::{Sizes, Summary, sum_pieces};
use attention::simd::{Isa, Target};

/// What belongs to one history and query head.
#[derive(Clone, Copy)]
pub(super) struct Center {
    pub(super) plan: Plan,
    pub(super) inverse: Inverse,
    /// Landmarks of queries and of keys, rows filled up.
    pub(super) q_marks: Target,
    pub(super) k_marks: Target,
    /// U, rows filled up.
    pub(super) pooled: Target,
    pub(super) stats: Stats,
    /// K̂, the landmarks of keys, and V̂.
    pub(super) summary: Summary,
}

impl Center {
    /// Floats of a worker, forward and backward.
    pub(super) fn work(plan: Plan) -> usize {
        let (m, mp) = (plan.sizes.m, plan.sizes.mp());
        let inverse = plan.inverse(m, m);
        3 * m * mp + mp + inverse.iterates() + inverse.work() + plan.sizes.dv * mp
    }

    fn tile(self, work: *mut f32, n: usize) -> Target {
        Target {
            data: work.wrapping_add(n * self.plan.sizes.m * self.plan.sizes.mp()),
            row: self.plan.sizes.mp(),
        }
    }

    /// Factors of rows; all Z; what the iteration works in; U turned.
    fn rooms(self, work: *mut f32) -> [*mut f32; 4] {
        let factors = self.tile(work, 3).data;
        let iterates = factors.wrapping_add(self.plan.sizes.mp());
        let inside = iterates.wrapping_add(self.inverse.iterates());
        [
            factors,
            iterates,
            inside,
            inside.wrapping_add(self.inverse.work()),
        ]
    }

    /// Writes A in the first tile, and all Z.
    ///
    /// # Safety
    /// Landmarks and the transpose of K̂ are there, and the worker's memory.
    unsafe fn invert(self, isa: Isa, work: *mut f32) -> Target {
        let a = self.tile(work, 0);
        let [factors, iterates, inside, _] = self.rooms(work);
        let rows = self.inverse.rows;
        // SAFETY: the caller's.
        unsafe {
            let q = block(self.q_marks, rows, self.plan.sizes.d);
            weigh(isa, q, self.summary.into(), a, factors);
            scale_rows(isa, a, rows, self.summary.m, factors);
            self.inverse.run(isa, a, iterates, inside);
        }
        a
    }
}

/// Merges what pieces of keys pooled, and writes V̂.
pub(super) struct Correct {
    pub(super) center: Center,
    pub(super) partial: Shelf,
    pub(super) slot: Slot,
    pub(super) backward: bool,
    pub(super) work: *mut f32,
}

impl Correct {
    pub(super) fn run(self, isa: Isa) {
        let center = self.center;
        let (Sizes { dv, .. }, Inverse { rows, columns, .. }) = (center.plan.sizes, center.inverse);
        let summary = center.summary;
        // SAFETY: what is written belongs to this history and head, or to the worker.
        unsafe {
            let pool = center.plan.pool(rows);
            let parts = (self.partial, 0);
            let over = Over::Tokens;
            merge(parts, &self.slot, pool, over, center.pooled, center.stats);
            let floats = columns * center.k_marks.row;
            let from = center.k_marks.data.cast_const();
            std::ptr::copy_nonoverlapping(from, summary.keys().data, floats);
            summary.seal(isa, center.plan.scale, false);
            center.invert(isa, self.work);
            let [_, iterates, ..] = center.rooms(self.work);
            let z = center.inverse.last(iterates);
            let write = Ending::write(summary.values(), dv, 1.0);
            product(
                isa,
                left(z),
                right(center.pooled),
                (columns, rows, dv),
                write,
            );
            if self.backward {
                turn(isa, summary.values(), columns, dv, 1.0, summary.values_t());
            }
        }
    }
}

/// From the gradients of K̂ and V̂ to those of U and of the landmarks.
pub(super) struct CorrectBack {
    pub(super) center: Center,
    /// Sums of dK̂ and dV̂ by piece of queries.
    pub(super) partial: Shelf,
    pub(super) slot: Slot,
    /// Their total; its keys become the gradient of the key landmarks.
    pub(super) total: Summary,
    /// Of U, and of the query landmarks.
    pub(super) d_pooled: Target,
    pub(super) d_q_marks: Target,
    pub(super) work: *mut f32,
}

impl CorrectBack {
    pub(super) fn run(self, isa: Isa) {
        let (center, total) = (self.center, self.total);
        let Sizes { d, dv, .. } = center.plan.sizes;
        let Inverse { rows, columns, .. } = center.inverse;
        let mp = center.plan.sizes.mp();
        // SAFETY: what is written belongs to this history and head, or to the worker.
        unsafe {
            sum_pieces(isa, self.partial, &self.slot, total, center.plan.scale);
            let a = center.invert(isa, self.work);
            let [factors, iterates, inside, turned] = center.rooms(self.work);
            let (d_a, d_z) = (center.tile(self.work, 1), center.tile(self.work, 2));
            let turned = Target {
                data: turned,
                row: mp,
            };
            let write = |to, width| Ending::write(to, width, 1.0);
            turn(isa, center.pooled, rows, dv, 1.0, turned);
            let size = (columns, dv, rows);
            product(
                isa,
                left(total.values()),
                right(turned),
                size,
                write(d_z, mp),
            );
            let z = left_turned(center.inverse.last(iterates));
            let size = (rows, columns, dv);
            product(
                isa,
                z,
                right(total.values()),
                size,
                write(self.d_pooled, dv),
            );
            center.inverse.back(isa, a, iterates, d_z, d_a, inside);
            soften_back(isa, a, d_a, rows, columns);
            std::slice::from_raw_parts_mut(factors, rows).fill(center.plan.scale);
            scale_rows(isa, d_a, rows, columns, factors);
            let size = (rows, columns, d);
            let k_marks = right(center.k_marks);
            product(isa, left(d_a), k_marks, size, write(self.d_q_marks, d));
            let add = Ending::add(total.keys(), d);
            let size = (columns, rows, d);
            product(isa, left_turned(d_a), right(center.q_marks), size, add);
        }
    }
}
