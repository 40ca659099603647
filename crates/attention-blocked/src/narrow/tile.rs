//! One step of the online softmax on a tile of scores, in units of the scores before scaling.

use super::Values;
use crate::simd::{QUERIES, Vector};

/// How far, in powers of two, scores may exceed the maximum that weights are taken relative to.
const HEADROOM: f32 = 8.0;

/// Running sums of [`QUERIES`] queries.
pub(crate) struct Sums<'a> {
    /// Oᵀ `[Dv, QUERIES]`, not yet divided by the sum.
    pub(crate) ot: &'a mut [f32],
    /// What a score is multiplied with to give powers of two `[QUERIES]`.
    pub(crate) factor: &'a mut [f32],
    /// What weights are relative to `[QUERIES]`, in powers of two.
    pub(crate) max: &'a mut [f32],
    /// Running sum of weights `[QUERIES]`.
    pub(crate) sum: &'a mut [f32],
    /// The largest score of the tile in hand `[QUERIES]`, not yet multiplied by the factor.
    pub(crate) largest: &'a mut [f32],
}

impl Sums<'_> {
    /// Nothing seen, nothing summed.
    pub(crate) fn clear(&mut self) {
        self.ot.fill(0.0);
        self.max.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
    }

    /// Whether what the first `queries` queries summed is all finite.
    pub(crate) fn are_finite(&self, queries: usize) -> bool {
        // A sum of products with zero is NaN exactly if a term is not finite, and vectorises.
        let mut lanes = [0.0f32; QUERIES];
        for row in self.ot.chunks_exact(QUERIES) {
            for (lane, x) in lanes.iter_mut().zip(row) {
                *lane += x * 0.0;
            }
        }
        let finite = |(lane, sum): (&f32, &f32)| lane + sum * 0.0 == 0.0;
        lanes.iter().zip(&*self.sum).take(queries).all(finite)
    }

    /// Sᵀ becomes Pᵀ = 2^(factor·Sᵀ - max); what was summed before is rescaled where `largest` says that the
    /// maximum grew.
    ///
    /// # Safety
    /// W's instructions are enabled; `st` has `2·pairs` rows of QUERIES floats.
    #[inline(always)]
    pub(crate) unsafe fn exponentiate<W: Values>(
        &mut self,
        st: *mut f32,
        pairs: usize,
        first: usize,
        vectors: usize,
    ) {
        let mut v = 0;
        while v < vectors {
            let lane = first + v * W::V::LANES;
            // SAFETY: as the caller's, for the lanes from `lane` on.
            unsafe {
                match vectors - v {
                    1 => self.columns::<W, 1>(st, pairs, lane),
                    _ => self.columns::<W, 2>(st, pairs, lane),
                }
            }
            v += 2;
        }
    }

    #[inline(always)]
    unsafe fn columns<W: Values, const C: usize>(
        &mut self,
        st: *mut f32,
        pairs: usize,
        lane: usize,
    ) {
        let lanes = W::V::LANES;
        // SAFETY: every row has QUERIES floats, a multiple of the vector's width.
        unsafe {
            let st = st.add(lane);
            let zero = W::V::splat(0.0);
            let (mut shift, mut factor) = ([zero; C], [zero; C]);
            for c in 0..C {
                let at = lane + c * lanes;
                factor[c] = W::V::load(self.factor.as_ptr().add(at));
                let max = W::V::load(self.largest.as_ptr().add(at)).mul(factor[c]);
                let before = W::V::load(self.max.as_ptr().add(at));
                let bound = before.add(W::V::splat(HEADROOM));
                let mut reference = before;
                // Lane by lane, so that no query's rounding depends on another's scores.
                if max.any_greater(bound) {
                    reference = max.select_greater(bound, max, before);
                    self.rescale::<W>(before, reference, at);
                }
                // Where nothing was visible so far, -inf - -inf must not become NaN.
                shift[c] = zero.sub(reference.zero_where_negative_infinite(reference));
            }
            let mut sum = [[zero; C]; 2];
            for pair in 0..pairs {
                for c in 0..C {
                    let from = st.add(2 * pair * QUERIES + c * lanes);
                    let score = [W::V::load(from), W::V::load(from.add(QUERIES))];
                    let even = W::exp2(score[0].mul_add(factor[c], shift[c]));
                    let odd = W::exp2(score[1].mul_add(factor[c], shift[c]));
                    W::store_weights(st.add(c * lanes), pair, even, odd);
                    sum[0][c] = sum[0][c].add(even);
                    sum[1][c] = sum[1][c].add(odd);
                }
            }
            for c in 0..C {
                let at = self.sum.as_mut_ptr().add(lane + c * lanes);
                let sum = sum[0][c].add(sum[1][c]);
                W::V::load(at).add(sum).store(at);
            }
        }
    }

    /// Takes what one vector of queries has summed so far relative to a new maximum.
    #[inline(always)]
    unsafe fn rescale<W: Values>(&mut self, before: W::V, reference: W::V, lane: usize) {
        // SAFETY: the caller's lane; every row has QUERIES floats.
        unsafe {
            reference.store(self.max.as_mut_ptr().add(lane));
            // A query that had seen nothing: -inf - finite gives 0, -inf - -inf gives NaN.
            let factor = W::exp2(before.sub(reference)).zero_where_negative_infinite(reference);
            let sum = self.sum.as_mut_ptr().add(lane);
            W::V::load(sum).mul(factor).store(sum);
            for c in 0..self.ot.len() / QUERIES {
                let at = self.ot.as_mut_ptr().add(c * QUERIES + lane);
                W::V::load(at).mul(factor).store(at);
            }
        }
    }
}

/// The largest of `keys` scores of each query.
///
/// # Safety
/// V's instructions are enabled; `st` has `keys` rows of QUERIES floats.
#[inline(always)]
pub(super) unsafe fn find_largest<V: Vector>(
    st: *const f32,
    keys: usize,
    largest: *mut f32,
    vectors: usize,
) {
    for v in 0..vectors {
        // SAFETY: the caller's sizes.
        unsafe {
            let mut max = V::splat(f32::NEG_INFINITY);
            for j in 0..keys {
                max = max.max(V::load(st.add(j * QUERIES + v * V::LANES)));
            }
            max.store(largest.add(v * V::LANES));
        }
    }
}
