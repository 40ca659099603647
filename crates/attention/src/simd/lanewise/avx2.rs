//! Eight lanes.

use super::Lanewise;
use std::arch::x86_64::*;

/// A window of eight over it, `n` from the middle back, has its first `n` lanes set.
static FIRST: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

// SAFETY of every block below: the trait's contract, AVX2 is enabled, pointers hold what is read; a
// masked load reads no lane outside its mask.
impl Lanewise for __m256 {
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: as stated above; n is at most 8.
        unsafe {
            let mask = _mm256_loadu_si256(FIRST.as_ptr().add(8 - n).cast());
            _mm256_maskload_ps(from, mask)
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: as stated above.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        // SAFETY: as stated above.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn sums([a, b, c, d, e, f, g, h]: [Self; 8]) -> [f32; 8] {
        // SAFETY: as stated above.
        unsafe {
            let four = |a, b, c, d| _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let (x, y) = (four(a, b, c, d), four(e, f, g, h));
            let low = _mm256_permute2f128_ps::<0x20>(x, y);
            let sum = _mm256_add_ps(low, _mm256_permute2f128_ps::<0x31>(x, y));
            std::mem::transmute::<__m256, [f32; 8]>(sum)
        }
    }
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: as stated above.
        let lanes = unsafe { std::mem::transmute::<__m256, [f32; 8]>(self) };
        lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}
