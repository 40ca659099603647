//! Pairs of bf16 multiplied by `vdpbf16ps`, summed in f32.

use crate::narrow::product::{LANES, Product, Rows, Words, first, multiply, transpose_words};
use crate::narrow::{Keys, Values};
use crate::simd::{Block, QUERIES};
use std::arch::x86_64::*;
use std::mem::transmute;

/// Both products on pairs of bf16: of queries and keys along D, of weights and values along the keys.
pub(crate) struct Dot;

impl Dot {
    /// Whether this machine has the instructions.
    pub(crate) fn is_available() -> bool {
        std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512bf16")
    }
}

/// Sums that are stored as they are, and the largest of each query.
#[derive(Clone, Copy)]
struct Scores {
    st: *mut f32,
    largest: *mut f32,
}

/// Sums that are added to what is there.
#[derive(Clone, Copy)]
struct Weighted(*mut f32);

// SAFETY of every block in the implementations below: AVX-512F, BW and BF16 are enabled, and pointers
// hold what the traits say.
impl Product for Scores {
    type Sum = __m512;
    #[inline(always)]
    unsafe fn start(self, _: usize) -> __m512 {
        // SAFETY: as stated above.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn step(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
        // SAFETY: as stated above.
        unsafe { dot(sum, a, b) }
    }
    #[inline(always)]
    unsafe fn finish<const R: usize>(self, row: usize, lane: usize, sums: [__m512; R]) {
        // SAFETY: as stated above.
        unsafe {
            let at = self.largest.add(lane);
            let mut largest = _mm512_loadu_ps(at);
            for (r, sum) in sums.into_iter().enumerate() {
                _mm512_storeu_ps(self.st.add((row + r) * QUERIES + lane), sum);
                largest = _mm512_max_ps(largest, sum);
            }
            _mm512_storeu_ps(at, largest);
        }
    }
}

impl Product for Weighted {
    type Sum = __m512;
    #[inline(always)]
    unsafe fn start(self, _: usize) -> __m512 {
        // SAFETY: as stated above.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn step(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
        // SAFETY: as stated above.
        unsafe { dot(sum, a, b) }
    }
    #[inline(always)]
    unsafe fn finish<const R: usize>(self, row: usize, lane: usize, sums: [__m512; R]) {
        // SAFETY: as stated above.
        unsafe {
            for (r, sum) in sums.into_iter().enumerate() {
                let at = self.0.add((row + r) * QUERIES + lane);
                _mm512_storeu_ps(at, _mm512_add_ps(_mm512_loadu_ps(at), sum));
            }
        }
    }
}

/// # Safety
/// AVX-512F and BF16 are enabled.
#[inline(always)]
unsafe fn dot(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: the caller's; both types are 512 bits.
    unsafe {
        let (a, b) = (
            transmute::<__m512i, __m512bh>(a),
            transmute::<__m512i, __m512bh>(b),
        );
        _mm512_dpbf16_ps(sum, a, b)
    }
}

/// Two vectors as bf16, the first in the lower half.
///
/// # Safety
/// AVX-512F and BF16 are enabled.
#[inline(always)]
unsafe fn convert(low: __m512, high: __m512) -> __m512i {
    // SAFETY: the caller's; both types are 512 bits.
    unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// Pairs of bf16, one of each vector.
///
/// # Safety
/// AVX-512F, BW and BF16 are enabled.
#[inline(always)]
unsafe fn interleave(even: __m512, odd: __m512) -> __m512i {
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 16 {
            order[2 * i] = i as u16;
            order[2 * i + 1] = 16 + i as u16;
            i += 1;
        }
        order
    };
    // SAFETY: the caller's; ORDER is 512 bits.
    unsafe {
        let order = _mm512_loadu_si512(ORDER.as_ptr().cast());
        _mm512_permutexvar_epi16(order, convert(even, odd))
    }
}

/// The first `width` of 16 floats, and zeros.
///
/// # Safety
/// AVX-512F is enabled; there are as many floats.
#[inline(always)]
unsafe fn load(from: *const f32, width: usize) -> __m512 {
    // SAFETY: the caller's; the mask keeps the load within the width.
    unsafe { _mm512_maskz_loadu_ps(first(width), from) }
}

/// Stores the first `width` of 16 words.
///
/// # Safety
/// AVX-512F is enabled; there is room for as many.
#[inline(always)]
unsafe fn store(to: *mut f32, width: usize, words: __m512i) {
    // SAFETY: the caller's; the mask keeps the store within the width.
    unsafe {
        if width >= LANES {
            _mm512_storeu_si512(to.cast(), words);
        } else {
            _mm512_mask_storeu_epi32(to.cast(), first(width), words);
        }
    }
}

/// Words in a row of pairs.
fn words(d: usize) -> usize {
    d.div_ceil(2)
}

/// The first 16 pairs of `width` floats, and zeros.
///
/// # Safety
/// AVX-512F and BF16 are enabled; there are as many floats.
#[inline(always)]
unsafe fn pairs_of(from: *const f32, width: usize) -> __m512i {
    // SAFETY: the caller's; what is behind the width is not read.
    unsafe {
        let low = load(from, width);
        let high = load(from.add(width.min(LANES)), width.saturating_sub(LANES));
        convert(low, high)
    }
}

/// Queries as pairs along D.
struct Queries(Block<*const f32>);

// SAFETY of the block below: as stated above.
impl Rows for Queries {
    fn rows(&self) -> usize {
        self.0.rows
    }
    fn words(&self) -> usize {
        words(self.0.width)
    }
    #[inline(always)]
    unsafe fn load(&self, row: usize, word: usize) -> __m512i {
        let column = 2 * word;
        // SAFETY: as stated above; the row has the column.
        unsafe {
            pairs_of(
                self.0.at.add(row * self.0.stride + column),
                self.0.width - column,
            )
        }
    }
}

impl Keys for Dot {
    fn query_floats(d: usize) -> usize {
        words(d) * QUERIES
    }

    fn key_floats(d: usize) -> usize {
        words(d)
    }

    #[inline(always)]
    unsafe fn pack_queries(q: Block<*const f32>, to: *mut f32, factors: *mut f32, _: *mut f32) {
        // SAFETY: as stated above.
        unsafe {
            for r in 0..q.rows {
                factors.add(r).write(1.0);
            }
            transpose_words(&Queries(q), to.cast());
        }
    }

    #[inline(always)]
    unsafe fn pack_keys(k: Block<*const f32>, _: &[f32], to: *mut f32) {
        for r in 0..k.rows {
            let mut c = 0;
            while c < k.width {
                let left = k.width - c;
                // SAFETY: as stated above.
                unsafe {
                    let pairs = pairs_of(k.at.add(r * k.stride + c), left);
                    store(to.add(r * words(k.width) + c / 2), words(left), pairs);
                }
                c += 2 * LANES;
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
        let k = Words {
            data: k.cast(),
            row: words(d),
            step: 1,
            steps: words(d),
        };
        // SAFETY: as stated above.
        unsafe { multiply(Scores { st, largest }, k, keys, qt.cast(), vectors) }
    }
}

impl Values for Dot {
    type V = __m512;

    fn pair_floats(dv: usize) -> usize {
        dv
    }

    #[inline(always)]
    unsafe fn pack_values(v: Block<*const f32>, to: *mut f32) {
        let mut r = 0;
        while r < v.rows {
            let (even, odd) = (r * v.stride, (r + 1).min(v.rows - 1) * v.stride);
            let mut c = 0;
            while c < v.width {
                let left = v.width - c;
                // SAFETY: as stated above; a value without a partner gets none read.
                unsafe {
                    let partner = if r + 1 < v.rows { left } else { 0 };
                    let low = load(v.at.add(even + c), left);
                    let high = load(v.at.add(odd + c), partner);
                    let to = to.add(r / 2 * v.width + c);
                    store(to, left, interleave(low, high));
                }
                c += LANES;
            }
            r += 2;
        }
    }

    /// The polynomial of degree three on [0, 1), relative error below 9e-5: a twentieth of the rounding to
    /// bf16 that follows: the instruction scales by the integer below its operand.
    #[inline(always)]
    unsafe fn exp2(x: __m512) -> __m512 {
        const EXP2: [f32; 4] = [7.706_705e-2, 2.276_45e-1, 6.951_168e-1, 1.0];
        // SAFETY: as stated above.
        unsafe {
            let r = _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x);
            let mut p = _mm512_set1_ps(EXP2[0]);
            for c in &EXP2[1..] {
                p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(*c));
            }
            _mm512_scalef_ps(p, x)
        }
    }

    #[inline(always)]
    unsafe fn store_weights(st: *mut f32, pair: usize, even: __m512, odd: __m512) {
        // SAFETY: as stated above.
        unsafe { _mm512_storeu_si512(st.add(pair * QUERIES).cast(), interleave(even, odd)) }
    }

    #[inline(always)]
    unsafe fn accumulate(
        v: *const f32,
        pairs: usize,
        dv: usize,
        st: *const f32,
        ot: *mut f32,
        vectors: usize,
    ) {
        let v = Words {
            data: v.cast(),
            row: 1,
            step: dv,
            steps: pairs,
        };
        // SAFETY: as stated above.
        unsafe { multiply(Weighted(ot), v, dv, st.cast(), vectors) }
    }

    #[inline(always)]
    unsafe fn weight(st: *const f32, key: usize) -> f32 {
        // SAFETY: as stated above.
        let pair = unsafe { *st.add(key / 2 * QUERIES) }.to_bits();
        f32::from_bits(if key.is_multiple_of(2) {
            pair << 16
        } else {
            pair & 0xffff_0000
        })
    }

    fn rounded(x: f32) -> f32 {
        super::round(x)
    }
}
