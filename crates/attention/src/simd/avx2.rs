//! Eight lanes, 16 registers.
#![cfg(target_arch = "x86_64")]

use super::{
    Kernel,
    vector::{Block, Vector, exp2_of_fraction},
};
use std::arch::x86_64::*;

/// # Safety
/// The machine has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn shell(kernel: impl Kernel) {
    kernel.run::<__m256>();
}

// SAFETY of every block below: the trait's contract, AVX2 and FMA are enabled, pointers hold 8
// floats.
impl Vector for __m256 {
    const LANES: usize = 8;
    const COLUMNS: usize = 2;
    // With 2 vectors of queries and a broadcast 11 of 16 registers; 4 x 3 spills.
    const ACCUMULATORS: usize = 8;

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: a prefetch faults at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as stated above.
        unsafe { _mm256_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm256_add_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm256_sub_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm256_mul_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm256_div_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm256_fmadd_ps(self, a, b) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm256_max_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn exp2_by<const DEGREE: usize>(self) -> Self {
        // SAFETY: as stated above. The biased exponent of 2^-127 is 0, which reads as the number 0.
        unsafe {
            let x = _mm256_max_ps(_mm256_set1_ps(-127.0), self);
            let n = _mm256_floor_ps(x);
            let p = exp2_of_fraction::<_, DEGREE>(_mm256_sub_ps(x, n));
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
        }
    }
    #[inline(always)]
    unsafe fn any_greater(self, other: Self) -> bool {
        // SAFETY: as stated above.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(self, other)) != 0 }
    }
    #[inline(always)]
    unsafe fn zero_where_negative_infinite(self, test: Self) -> Self {
        // SAFETY: as stated above.
        unsafe {
            let kept = _mm256_cmp_ps::<_CMP_NEQ_UQ>(test, _mm256_set1_ps(f32::NEG_INFINITY));
            _mm256_and_ps(self, kept)
        }
    }
    #[inline(always)]
    unsafe fn select_greater(self, bound: Self, a: Self, b: Self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm256_blendv_ps(b, a, _mm256_cmp_ps::<_CMP_GT_OQ>(self, bound)) }
    }
    #[inline(always)]
    unsafe fn hide_outside(self, x: Self, low: Self, high: Self) -> Self {
        // SAFETY: as stated above.
        unsafe {
            let kept = _mm256_and_ps(
                _mm256_cmp_ps::<_CMP_GE_OQ>(x, low),
                _mm256_cmp_ps::<_CMP_LT_OQ>(x, high),
            );
            _mm256_blendv_ps(_mm256_set1_ps(f32::NEG_INFINITY), self, kept)
        }
    }
    #[inline(always)]
    unsafe fn transpose(from: Block<*const f32>, factor: Self, to: Block<*mut f32>) {
        // SAFETY: as stated above; masks keep loads and stores within the widths of the blocks.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let first = |n: usize| _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lanes);
            let (read, write) = (first(from.width), first(to.width));
            let mut a = [_mm256_setzero_ps(); 8];
            for (r, row) in a.iter_mut().enumerate() {
                if r < from.rows {
                    let x = _mm256_maskload_ps(from.at.add(r * from.stride), read);
                    *row = _mm256_mul_ps(x, factor);
                }
            }
            for (r, row) in transpose(a).into_iter().enumerate() {
                if r < to.rows {
                    _mm256_maskstore_ps(to.at.add(r * to.stride), write, row);
                }
            }
        }
    }
}

/// The transpose of 8 rows: pairs, quads, then halves of registers change places.
///
/// # Safety
/// AVX is enabled.
#[inline(always)]
unsafe fn transpose(a: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller's.
    unsafe {
        let mut b = a;
        for i in 0..4 {
            b[2 * i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]);
            b[2 * i + 1] = _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
        }
        let mut c = b;
        for g in 0..2 {
            let quad = &b[4 * g..4 * g + 4];
            c[4 * g] = _mm256_shuffle_ps::<0x44>(quad[0], quad[2]);
            c[4 * g + 1] = _mm256_shuffle_ps::<0xee>(quad[0], quad[2]);
            c[4 * g + 2] = _mm256_shuffle_ps::<0x44>(quad[1], quad[3]);
            c[4 * g + 3] = _mm256_shuffle_ps::<0xee>(quad[1], quad[3]);
        }
        let mut t = c;
        for k in 0..4 {
            t[k] = _mm256_permute2f128_ps::<0x20>(c[k], c[4 + k]);
            t[4 + k] = _mm256_permute2f128_ps::<0x31>(c[k], c[4 + k]);
        }
        t
    }
}
