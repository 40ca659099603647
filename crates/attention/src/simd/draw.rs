//! Dropout's draws, lane by lane: queries in the lanes, the key a scalar.

use super::vector::QUERIES;
use crate::dropout::{FIRST, HeadDropout, KEY_STEP, SECOND};
use std::ops::Range;

/// What one key's draws need beside the row keys of the queries in the lanes.
#[derive(Clone, Copy)]
pub struct Drop {
    /// Row keys `a` of [`QUERIES`] queries, then their row keys `b`.
    keys: *const u32,
    threshold: u32,
    factor: f32,
}

/// Floats of memory that the row keys of a block of queries take.
pub const DROP_FLOATS: usize = 2 * QUERIES;

impl Drop {
    /// Mixes the row keys of `rows` into `memory`, which has [`DROP_FLOATS`].
    pub fn of(head: &HeadDropout, rows: Range<usize>, memory: &mut [f32]) -> Self {
        let (a, b) = memory.split_at_mut(QUERIES);
        for ((a, b), i) in a.iter_mut().zip(b).zip(rows) {
            let key = head.row(i);
            (*a, *b) = (f32::from_bits(key.a), f32::from_bits(key.b));
        }
        Self {
            keys: memory.as_ptr().cast(),
            threshold: head.threshold(),
            factor: head.factor(),
        }
    }
}

/// Draws for a vector of queries.
///
/// # Safety
/// As for [`Vector`](super::vector::Vector).
pub trait Draw: Sized {
    /// What the weights of key `j` are multiplied with, for the lanes from `lane` on: 0 or
    /// 1/(1 - rate), as [`HeadDropout::multiplier`] has it.
    unsafe fn multiplier(drop: &Drop, j: usize, lane: usize) -> Self;
}

/// [`RowKey::draw`](crate::dropout::RowKey::draw) with the first addition done.
#[inline(always)]
fn mix(x: u32, b: u32) -> u32 {
    let x = (x ^ x >> FIRST.0).wrapping_mul(FIRST.1);
    (x ^ x >> SECOND.0 ^ b).wrapping_mul(SECOND.1)
}

impl Draw for super::portable::Lanes {
    #[inline(always)]
    unsafe fn multiplier(drop: &Drop, j: usize, lane: usize) -> Self {
        let step = (j as u32).wrapping_mul(KEY_STEP);
        Self(std::array::from_fn(|n| {
            // SAFETY: the lanes' row keys are there.
            let (a, b) = unsafe {
                let a = drop.keys.add(lane + n);
                (*a, *a.add(QUERIES))
            };
            let kept = mix(a.wrapping_add(step), b) >= drop.threshold;
            if kept { drop.factor } else { 0.0 }
        }))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Draw, Drop, FIRST, KEY_STEP, QUERIES, SECOND};
    use std::arch::x86_64::*;

    // SAFETY of both blocks: the trait's contract; the lanes' row keys are there.
    impl Draw for __m512 {
        #[inline(always)]
        unsafe fn multiplier(drop: &Drop, j: usize, lane: usize) -> Self {
            // SAFETY: as stated above.
            unsafe {
                let a = _mm512_loadu_si512(drop.keys.add(lane).cast());
                let b = _mm512_loadu_si512(drop.keys.add(QUERIES + lane).cast());
                let step = _mm512_set1_epi32((j as u32).wrapping_mul(KEY_STEP) as i32);
                let x = _mm512_add_epi32(a, step);
                let x = _mm512_xor_si512(x, _mm512_srli_epi32::<{ FIRST.0 }>(x));
                let x = _mm512_mullo_epi32(x, _mm512_set1_epi32(FIRST.1 as i32));
                let x = _mm512_xor_si512(x, _mm512_srli_epi32::<{ SECOND.0 }>(x));
                let x = _mm512_xor_si512(x, b);
                let x = _mm512_mullo_epi32(x, _mm512_set1_epi32(SECOND.1 as i32));
                let threshold = _mm512_set1_epi32(drop.threshold as i32);
                let kept = _mm512_cmpge_epu32_mask(x, threshold);
                _mm512_maskz_mov_ps(kept, _mm512_set1_ps(drop.factor))
            }
        }
    }

    impl Draw for __m256 {
        #[inline(always)]
        unsafe fn multiplier(drop: &Drop, j: usize, lane: usize) -> Self {
            // SAFETY: as stated above.
            unsafe {
                let a = _mm256_loadu_si256(drop.keys.add(lane).cast());
                let b = _mm256_loadu_si256(drop.keys.add(QUERIES + lane).cast());
                let step = _mm256_set1_epi32((j as u32).wrapping_mul(KEY_STEP) as i32);
                let x = _mm256_add_epi32(a, step);
                let x = _mm256_xor_si256(x, _mm256_srli_epi32::<{ FIRST.0 as i32 }>(x));
                let x = _mm256_mullo_epi32(x, _mm256_set1_epi32(FIRST.1 as i32));
                let x = _mm256_xor_si256(x, _mm256_srli_epi32::<{ SECOND.0 as i32 }>(x));
                let x = _mm256_xor_si256(x, b);
                let x = _mm256_mullo_epi32(x, _mm256_set1_epi32(SECOND.1 as i32));
                // Unsigned: x >= threshold where the larger of the two is x.
                let threshold = _mm256_set1_epi32(drop.threshold as i32);
                let kept = _mm256_cmpeq_epi32(_mm256_max_epu32(x, threshold), x);
                let factor = _mm256_set1_ps(drop.factor);
                _mm256_and_ps(_mm256_castsi256_ps(kept), factor)
            }
        }
    }
}
