//! Sixteen lanes, 32 registers.
#![cfg(target_arch = "x86_64")]

use super::{
    Kernel,
    vector::{Block, Vector, exp2_near_zero, exp2_of_fraction},
};
use std::arch::x86_64::*;

/// # Safety
/// The machine has AVX-512F and DQ.
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) unsafe fn shell(kernel: impl Kernel) {
    kernel.run::<__m512>();
}

// SAFETY of every block below: the trait's contract, AVX-512F and DQ is enabled, pointers hold 16 floats.
impl Vector for __m512 {
    const LANES: usize = 16;
    const COLUMNS: usize = 4;
    // With 4 vectors of queries and a broadcast 21 of 32 registers; 24 sums measured no faster.
    const ACCUMULATORS: usize = 16;

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: a prefetch faults at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as stated above.
        unsafe { _mm512_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_add_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_sub_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_mul_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_div_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_fmadd_ps(self, a, b) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_max_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn exp2_by<const DEGREE: usize>(self) -> Self {
        // SAFETY: as stated above. The remainder of an infinity is 0; scaling takes the floor of self.
        unsafe {
            let r = _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self);
            _mm512_maskz_scalef_ps(is_normal(self), exp2_of_fraction::<_, DEGREE>(r), self)
        }
    }
    #[inline(always)]
    unsafe fn exp2_factor(self) -> Self {
        // SAFETY: as stated above. The remainder of an infinity is 0.
        unsafe {
            let r = _mm512_reduce_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self);
            let n = _mm512_sub_ps(self, r);
            _mm512_maskz_scalef_ps(is_normal(self), exp2_near_zero(r), n)
        }
    }
    #[inline(always)]
    unsafe fn any_greater(self, other: Self) -> bool {
        // SAFETY: as stated above.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self, other) != 0 }
    }
    #[inline(always)]
    unsafe fn zero_where_negative_infinite(self, test: Self) -> Self {
        // SAFETY: as stated above.
        unsafe {
            let kept = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(test, _mm512_set1_ps(f32::NEG_INFINITY));
            _mm512_maskz_mov_ps(kept, self)
        }
    }
    #[inline(always)]
    unsafe fn select_greater(self, bound: Self, a: Self, b: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self, bound), a) }
    }
    #[inline(always)]
    unsafe fn hide_outside(self, x: Self, low: Self, high: Self) -> Self {
        // SAFETY: as stated above.
        unsafe {
            let kept = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, low);
            let kept = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(kept, x, high);
            _mm512_mask_mov_ps(_mm512_set1_ps(f32::NEG_INFINITY), kept, self)
        }
    }
    #[inline(always)]
    unsafe fn transpose(from: Block<*const f32>, factor: Self, to: Block<*mut f32>) {
        // SAFETY: as stated above; masks keep loads and stores within the widths of the blocks.
        unsafe {
            let read = ((1u32 << from.width) - 1) as u16;
            let write = ((1u32 << to.width) - 1) as u16;
            let mut a = [_mm512_setzero_ps(); 16];
            for (r, row) in a.iter_mut().enumerate() {
                if r < from.rows {
                    let x = _mm512_maskz_loadu_ps(read, from.at.add(r * from.stride));
                    *row = _mm512_mul_ps(x, factor);
                }
            }
            let columns = transpose16(a);
            for (r, row) in columns.into_iter().enumerate() {
                if r < to.rows {
                    _mm512_mask_storeu_ps(to.at.add(r * to.stride), write, row);
                }
            }
        }
    }
}

/// Lanes whose power of two is a normal number, or NaN: what lies below is 0, since products of subnormal numbers
/// take a hundred times as long on some processors.
///
/// # Safety
/// AVX-512F is enabled.
#[inline(always)]
unsafe fn is_normal(x: __m512) -> __mmask16 {
    // SAFETY: the caller's.
    unsafe { _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(-126.0)) }
}

/// The transpose of 16 rows: pairs, quads, then quarters of registers change places.
///
/// # Safety
/// AVX-512F and DQ is enabled.
#[inline(always)]
pub unsafe fn transpose16(a: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: the caller's.
    unsafe {
        let mut b = a;
        for i in 0..8 {
            b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
            b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
        }
        // c[4g + k]: in each quarter q, rows 4g..4g+4 of column 4q + k.
        let mut c = b;
        for g in 0..4 {
            let quad: [__m512d; 4] = std::array::from_fn(|i| _mm512_castps_pd(b[4 * g + i]));
            c[4 * g] = _mm512_castpd_ps(_mm512_unpacklo_pd(quad[0], quad[2]));
            c[4 * g + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(quad[0], quad[2]));
            c[4 * g + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(quad[1], quad[3]));
            c[4 * g + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(quad[1], quad[3]));
        }
        let mut t = c;
        for k in 0..4 {
            let low = _mm512_shuffle_f32x4::<0x88>(c[k], c[4 + k]);
            let high = _mm512_shuffle_f32x4::<0xdd>(c[k], c[4 + k]);
            let low2 = _mm512_shuffle_f32x4::<0x88>(c[8 + k], c[12 + k]);
            let high2 = _mm512_shuffle_f32x4::<0xdd>(c[8 + k], c[12 + k]);
            t[k] = _mm512_shuffle_f32x4::<0x88>(low, low2);
            t[8 + k] = _mm512_shuffle_f32x4::<0xdd>(low, low2);
            t[4 + k] = _mm512_shuffle_f32x4::<0x88>(high, high2);
            t[12 + k] = _mm512_shuffle_f32x4::<0xdd>(high, high2);
        }
        t
    }
}
