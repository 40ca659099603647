//! Sixteen lanes.

use super::Lanewise;
use std::arch::x86_64::*;

// SAFETY of every block below: the trait's contract, AVX-512F is enabled, pointers hold what is
// read; a masked load reads no lane outside its mask.
impl Lanewise for __m512 {
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, from) }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: as stated above.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn sums([a, b, c, d, e, f, g, h]: [Self; 8]) -> [f32; 8] {
        // SAFETY: as stated above.
        unsafe {
            let (x, y) = (quarters([a, b, c, d]), quarters([e, f, g, h]));
            let sum = _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
            let sum = _mm512_add_ps(sum, _mm512_permute_ps::<0b01_00_11_10>(sum));
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
            let sum = _mm512_castps512_ps256(_mm512_permutexvar_ps(order, sum));
            std::mem::transmute::<__m256, [f32; 8]>(sum)
        }
    }
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: as stated above.
        unsafe { _mm512_reduce_max_ps(self) }
    }
}

/// A quarter of a register for each of four vectors, of which the sum over its lanes is that of the
/// vector.
///
/// A function and not a closure, which would be called instead of inlined.
#[inline(always)]
unsafe fn quarters([a, b, c, d]: [__m512; 4]) -> __m512 {
    // SAFETY: the caller's, as for `sums`.
    unsafe {
        let (x, y) = (halves(a, b), halves(c, d));
        let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(x, y);
        _mm512_add_ps(even, _mm512_shuffle_f32x4::<0b11_01_11_01>(x, y))
    }
}

/// Half a register for each of two vectors, likewise.
#[inline(always)]
unsafe fn halves(x: __m512, y: __m512) -> __m512 {
    // SAFETY: the caller's, as for `sums`.
    unsafe {
        let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(x, y);
        _mm512_add_ps(low, _mm512_shuffle_f32x4::<0b11_10_11_10>(x, y))
    }
}
