//! One step of the online softmax: a tile of 64 keys against a block of 64 queries.
//!
//! Sᵀ, Pᵀ, Oᵀ and Qᵀ all have one row of [`QUERIES`] floats a key or column, so that maxima, sums,
//! rescaling and masks work lane by lane, without any reduction across a register.

use crate::simd::{QUERIES, Vector, accumulate_values, exp2_nonpositive, score_keys};

/// Keys in a block: with 64 queries the tile takes 16 KiB, half of the smallest common L1 cache, and
/// its edges fall on those of block masks.
pub(crate) const KEYS: usize = 64;

/// Working memory of one task, `[rows, QUERIES]` each.
pub(crate) struct Tiles<'a> {
    /// Qᵀ `[D, QUERIES]`, with scale·log2(e) folded in.
    pub(crate) qt: &'a mut [f32],
    /// Sᵀ, then Pᵀ `[KEYS, QUERIES]`, in units of log2.
    pub(crate) st: &'a mut [f32],
    /// Oᵀ `[Dv, QUERIES]`, not yet divided by the sum.
    pub(crate) ot: &'a mut [f32],
    /// Running maximum `[QUERIES]`.
    pub(crate) max: &'a mut [f32],
    /// Running sum `[QUERIES]`.
    pub(crate) sum: &'a mut [f32],
}

impl<'a> Tiles<'a> {
    /// Floats of working memory.
    pub(crate) fn floats(d: usize, dv: usize) -> usize {
        (d + KEYS + dv + 2) * QUERIES
    }

    /// Cuts working memory up and sets it to the start: nothing seen, nothing summed.
    pub(crate) fn start(memory: &'a mut [f32], d: usize, dv: usize) -> Self {
        let (qt, rest) = memory.split_at_mut(d * QUERIES);
        let (st, rest) = rest.split_at_mut(KEYS * QUERIES);
        let (ot, rest) = rest.split_at_mut(dv * QUERIES);
        let (max, sum) = rest.split_at_mut(QUERIES);
        let sum = &mut sum[..QUERIES];
        ot.fill(0.0);
        max.fill(f32::NEG_INFINITY);
        sum.fill(0.0);
        Self {
            qt,
            st,
            ot,
            max,
            sum,
        }
    }

    /// Sᵀ of `keys` keys that stand `stride` floats apart.
    ///
    /// # Safety
    /// V's instructions are enabled and `k` has `keys` rows of D floats; `keys` is at most [`KEYS`].
    #[inline(always)]
    pub(crate) unsafe fn score<V: Vector>(
        &mut self,
        k: *const f32,
        stride: usize,
        keys: usize,
        lanes: usize,
    ) {
        let d = self.qt.len() / QUERIES;
        // SAFETY: the slices hold D and KEYS rows of QUERIES floats; k is the caller's.
        unsafe {
            let (qt, st) = (self.qt.as_ptr(), self.st.as_mut_ptr());
            score_keys::<V>(k, stride, keys, d, qt, st, lanes);
        }
    }

    /// Sᵀ becomes Pᵀ = 2^(Sᵀ - max); what was summed before is rescaled where the maximum grew.
    ///
    /// # Safety
    /// V's instructions are enabled.
    #[inline(always)]
    pub(crate) unsafe fn exponentiate<V: Vector>(&mut self, keys: usize, lanes: usize) {
        let (st, ot) = (self.st.as_mut_ptr(), self.ot.as_mut_ptr());
        let columns = self.ot.len() / QUERIES;
        let mut lane = 0;
        while lane < lanes {
            // SAFETY: every row of the tiles has QUERIES floats, a multiple of the vector's width.
            unsafe {
                let (max_at, sum_at) = (
                    self.max.as_mut_ptr().add(lane),
                    self.sum.as_mut_ptr().add(lane),
                );
                let before = V::load(max_at);
                let mut max = before;
                for j in 0..keys {
                    max = max.max(V::load(st.add(j * QUERIES + lane)));
                }
                // Where nothing was visible so far, -inf - -inf must not become NaN.
                let shift = max.zero_where_negative_infinite(max);
                let mut sum = V::load(sum_at);
                if max.any_greater(before) {
                    let factor = exp2_nonpositive(before.sub(shift));
                    sum = sum.mul(factor);
                    for c in 0..columns {
                        let at = ot.add(c * QUERIES + lane);
                        V::load(at).mul(factor).store(at);
                    }
                    max.store(max_at);
                }
                let mut tile_sum = V::splat(0.0);
                for j in 0..keys {
                    let at = st.add(j * QUERIES + lane);
                    let p = exp2_nonpositive(V::load(at).sub(shift));
                    p.store(at);
                    tile_sum = tile_sum.add(p);
                }
                sum.add(tile_sum).store(sum_at);
            }
            lane += V::LANES;
        }
    }

    /// Oᵀ += Vᵀ·Pᵀ for `keys` values that stand `stride` floats apart.
    ///
    /// # Safety
    /// V's instructions are enabled and `v` has `keys` rows of Dv floats.
    #[inline(always)]
    pub(crate) unsafe fn accumulate<V: Vector>(
        &mut self,
        v: *const f32,
        stride: usize,
        keys: usize,
        lanes: usize,
    ) {
        let dv = self.ot.len() / QUERIES;
        // SAFETY: the slices hold KEYS and Dv rows of QUERIES floats; v is the caller's.
        unsafe {
            let (pt, ot) = (self.st.as_ptr(), self.ot.as_mut_ptr());
            accumulate_values::<V>(v, stride, keys, dv, pt, ot, lanes);
        }
    }
}
