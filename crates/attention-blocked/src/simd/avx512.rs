//! Sixteen lanes, 32 registers.
#![cfg(target_arch = "x86_64")]

use super::{Kernel, vector::Vector};
use std::arch::x86_64::*;

/// # Safety
/// The machine has AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn shell(kernel: impl Kernel) {
    kernel.run::<__m512>();
}

// SAFETY of every block below: the trait's contract, AVX-512F is enabled, pointers hold 16 floats.
impl Vector for __m512 {
    const LANES: usize = 16;
    // 4 x 4 accumulators, 4 vectors of queries and a broadcast: 21 of 32 registers.
    const COLUMNS: usize = 4;

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
    unsafe fn round(self) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self) }
    }
    #[inline(always)]
    unsafe fn scale_by_power(self, n: Self) -> Self {
        // SAFETY: as stated above.
        unsafe {
            let kept = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(n, _mm512_set1_ps(-127.0));
            _mm512_maskz_scalef_ps(kept, self, n)
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
}
