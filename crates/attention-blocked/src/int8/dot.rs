//! Quads of int8 multiplied by `vpdpbusd`, summed in int32.
//!
//! The instruction multiplies unsigned by signed bytes. Queries are therefore stored 128 too large, and
//! the sums of a key begin with what that adds too much: -128·Σ of its levels.

use super::quantize::scale_of;
use crate::narrow::Keys;
use crate::narrow::product::{LANES, Product, Rows, Words, first, multiply, transpose_words};
use crate::simd::{Block, QUERIES};
use std::arch::x86_64::*;

/// Queries times keys on quads of int8 along D.
pub(crate) struct Vnni;

impl Vnni {
    /// Whether this machine has the instructions.
    pub(crate) fn is_available() -> bool {
        std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vnni")
    }
}

/// Words in a row of quads.
fn words(d: usize) -> usize {
    d.div_ceil(4)
}

/// Words of a packed key: its quads, what its sums begin with, its scale.
fn stride(d: usize) -> usize {
    words(d) + 2
}

/// Scores in f32, and the largest of each query.
#[derive(Clone, Copy)]
struct Scores {
    st: *mut f32,
    largest: *mut f32,
    /// The first key's start and scale, and the distance to the next.
    ends: *const i32,
    stride: usize,
}

// SAFETY of every block in the implementations below: AVX-512F, BW, VL and VNNI are enabled, and
// pointers hold what the traits say.
impl Product for Scores {
    type Sum = __m512i;
    #[inline(always)]
    unsafe fn start(self, row: usize) -> __m512i {
        // SAFETY: as stated above.
        unsafe { _mm512_set1_epi32(*self.ends.add(row * self.stride)) }
    }
    #[inline(always)]
    unsafe fn step(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as stated above.
        unsafe { _mm512_dpbusd_epi32(sum, b, a) }
    }
    #[inline(always)]
    unsafe fn finish<const R: usize>(self, row: usize, lane: usize, sums: [__m512i; R]) {
        // SAFETY: as stated above.
        unsafe {
            let at = self.largest.add(lane);
            let mut largest = _mm512_loadu_ps(at);
            for (r, sum) in sums.into_iter().enumerate() {
                let scale = *self.ends.add((row + r) * self.stride + 1).cast::<f32>();
                let score = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(scale));
                _mm512_storeu_ps(self.st.add((row + r) * QUERIES + lane), score);
                largest = _mm512_max_ps(largest, score);
            }
            _mm512_storeu_ps(at, largest);
        }
    }
}

/// Up to 16 entries of a row less the offset, and zeros; an empty offset is zero.
///
/// # Safety
/// AVX-512F is enabled; the row has the entries.
#[inline(always)]
unsafe fn load(row: *const f32, offset: &[f32], from: usize, width: usize) -> __m512 {
    let mask = first(width);
    // SAFETY: the caller's; the mask keeps loads within the width.
    unsafe {
        let x = _mm512_maskz_loadu_ps(mask, row.add(from));
        if offset.is_empty() {
            x
        } else {
            _mm512_sub_ps(x, _mm512_maskz_loadu_ps(mask, offset.as_ptr().add(from)))
        }
    }
}

/// A row's levels plus `shift` as bytes, filled up to whole words with zeros; gives its scale and the sum
/// of its levels.
///
/// # Safety
/// AVX-512F, BW and VL are enabled; there are `width` floats, and room for as many bytes.
#[inline(always)]
unsafe fn pack_row(
    row: *const f32,
    width: usize,
    offset: &[f32],
    shift: i32,
    to: *mut i8,
) -> (f32, i32) {
    // SAFETY: the caller's; what is behind the width is not read, and written up to a whole word.
    unsafe {
        // As bits, so that NaN is the largest of all.
        let mut largest = _mm512_setzero_si512();
        let mut c = 0;
        while c < width {
            let x = _mm512_castps_si512(load(row, offset, c, width - c));
            largest = _mm512_max_epu32(largest, _mm512_and_si512(x, _mm512_set1_epi32(i32::MAX)));
            c += LANES;
        }
        let largest = f32::from_bits(_mm512_reduce_max_epu32(largest));
        let (scale, inverse) = scale_of(largest);
        let factor = _mm512_set1_ps(inverse);
        let mut sum = _mm512_setzero_si512();
        c = 0;
        while c < width {
            let left = width - c;
            let x = load(row, offset, c, left);
            // 0·NaN is no level: a row without an inverse is all zeros.
            let level = if inverse == 0.0 {
                _mm512_setzero_si512()
            } else {
                _mm512_cvtps_epi32(_mm512_mul_ps(x, factor))
            };
            sum = _mm512_add_epi32(sum, level);
            let bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(level, _mm512_set1_epi32(shift)));
            if left >= LANES {
                _mm_storeu_si128(to.add(c).cast(), bytes);
            } else {
                let mask = first(left.next_multiple_of(4));
                _mm_mask_storeu_epi8(to.add(c), mask, bytes);
            }
            c += LANES;
        }
        (scale, _mm512_reduce_add_epi32(sum))
    }
}

/// Packed queries, one after the other.
struct Quads {
    at: *const i32,
    rows: usize,
    words: usize,
}

impl Rows for Quads {
    fn rows(&self) -> usize {
        self.rows
    }
    fn words(&self) -> usize {
        self.words
    }
    #[inline(always)]
    unsafe fn load(&self, row: usize, word: usize) -> __m512i {
        let mask = first(self.words - word);
        // SAFETY: as stated above; the mask keeps the load within the row.
        unsafe { _mm512_maskz_loadu_epi32(mask, self.at.add(row * self.words + word)) }
    }
}

impl Keys for Vnni {
    fn query_floats(d: usize) -> usize {
        words(d) * QUERIES
    }

    fn key_floats(d: usize) -> usize {
        stride(d)
    }

    #[inline(always)]
    unsafe fn pack_queries(q: Block<*const f32>, to: *mut f32, factors: *mut f32, spare: *mut f32) {
        let words = words(q.width);
        // SAFETY: as stated above.
        unsafe {
            for r in 0..q.rows {
                let bytes = spare.add(r * words).cast();
                let (scale, _) = pack_row(q.at.add(r * q.stride), q.width, &[], 128, bytes);
                factors.add(r).write(scale);
            }
            let quads = Quads {
                at: spare.cast_const().cast(),
                rows: q.rows,
                words,
            };
            transpose_words(&quads, to.cast());
        }
    }

    #[inline(always)]
    unsafe fn pack_keys(k: Block<*const f32>, offset: &[f32], to: *mut f32) {
        for r in 0..k.rows {
            // SAFETY: as stated above.
            unsafe {
                let to = to.add(r * stride(k.width));
                let row = k.at.add(r * k.stride);
                let (scale, sum) = pack_row(row, k.width, offset, 0, to.cast());
                let end = to.add(words(k.width));
                end.cast::<i32>().write(-128 * sum);
                end.add(1).write(scale);
            }
        }
    }

    #[inline(always)]
    unsafe fn score(
        k: *const f32,
        keys: usize,
        d: usize,
        qt: *const f32,
        st: *mut f32,
        largest: *mut f32,
        vectors: usize,
    ) {
        let data: *const i32 = k.cast();
        let k = Words {
            data,
            row: stride(d),
            step: 1,
            steps: words(d),
        };
        // SAFETY: as stated above.
        unsafe {
            let scores = Scores {
                st,
                largest,
                ends: data.add(words(d)),
                stride: stride(d),
            };
            multiply(scores, k, keys, qt.cast(), vectors);
        }
    }
}
