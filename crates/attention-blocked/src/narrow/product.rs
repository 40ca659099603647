//! Dot products of narrow numbers with lanes of queries: pairs of bf16, quads of int8.
//!
//! One operand is read a 32-bit word at a time and broadcast, the other is a vector that has the word
//! of one query in each lane. Sums are held in registers for [`SUMS`] vectors.

use crate::simd::{QUERIES, transpose16};
use std::arch::x86_64::*;

/// Vectors of sums in a micro-kernel: latency 6 and two pipes need 12.
const SUMS: usize = 16;

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// A mask of the first lanes.
#[inline(always)]
pub(crate) fn first(width: usize) -> u16 {
    if width >= LANES {
        u16::MAX
    } else {
        (1 << width) - 1
    }
}

/// The words that are broadcast: row r, step t at `data + r·row + t·step`.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    pub(crate) data: *const i32,
    pub(crate) row: usize,
    pub(crate) step: usize,
    pub(crate) steps: usize,
}

/// An instruction, where its sums begin, and where they go.
///
/// # Safety
/// The instruction set is enabled.
pub(crate) trait Product: Copy {
    /// A vector of sums.
    type Sum: Copy;
    /// What the sums of a row begin with.
    unsafe fn start(self, row: usize) -> Self::Sum;
    /// sum + the dot product of each lane of `a` with that of `b`.
    unsafe fn step(sum: Self::Sum, a: __m512i, b: __m512i) -> Self::Sum;
    /// Takes the sums of rows from `row` on and of the vector of queries from `lane` on.
    unsafe fn finish<const R: usize>(self, row: usize, lane: usize, sums: [Self::Sum; R]);
}

/// All of `rows` rows and `vectors` vectors of queries.
///
/// # Safety
/// P's instructions are enabled; `a` has the rows and steps that it says, `b` has a row of QUERIES words
/// for each step.
#[inline(always)]
pub(crate) unsafe fn multiply<P: Product>(
    p: P,
    a: Words,
    rows: usize,
    b: *const i32,
    vectors: usize,
) {
    // SAFETY: row and vector of every micro-kernel stay within the sizes given by the caller.
    unsafe {
        let mut row = 0;
        while row < rows {
            row += match vectors {
                4 => strip::<P, 4>(p, a, row, rows, b),
                3 => strip::<P, 3>(p, a, row, rows, b),
                2 => strip::<P, 2>(p, a, row, rows, b),
                _ => strip::<P, 1>(p, a, row, rows, b),
            }
        }
    }
}

/// As many rows from `row` on as registers allow; gives their number.
#[inline(always)]
unsafe fn strip<P: Product, const C: usize>(
    p: P,
    a: Words,
    row: usize,
    rows: usize,
    b: *const i32,
) -> usize {
    // SAFETY: the caller's, with no more rows than are left.
    unsafe {
        let left = rows - row;
        if 16 * C <= SUMS && left >= 16 {
            micro::<P, 16, C>(p, a, row, b);
            return 16;
        }
        if 8 * C <= SUMS && left >= 8 {
            micro::<P, 8, C>(p, a, row, b);
            return 8;
        }
        match left {
            1 => micro::<P, 1, C>(p, a, row, b),
            2 => micro::<P, 2, C>(p, a, row, b),
            3 => micro::<P, 3, C>(p, a, row, b),
            _ => micro::<P, 4, C>(p, a, row, b),
        }
        left.min(4)
    }
}

#[inline(always)]
unsafe fn micro<P: Product, const R: usize, const C: usize>(
    p: P,
    a: Words,
    row: usize,
    b: *const i32,
) {
    // SAFETY: the caller's sizes cover every row, step and vector visited.
    unsafe {
        let mut sums = [[p.start(row); C]; R];
        for (r, sums) in sums.iter_mut().enumerate() {
            *sums = [p.start(row + r); C];
        }
        let data = a.data.add(row * a.row);
        for t in 0..a.steps {
            let mut lanes = [_mm512_setzero_si512(); C];
            for (c, lanes) in lanes.iter_mut().enumerate() {
                *lanes = _mm512_loadu_si512(b.add(t * QUERIES + c * LANES).cast());
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let word = _mm512_set1_epi32(*data.add(r * a.row + t * a.step));
                for (sum, lanes) in sums.iter_mut().zip(lanes) {
                    *sum = P::step(*sum, word, lanes);
                }
            }
        }
        for c in 0..C {
            p.finish(row, c * LANES, sums.map(|sums| sums[c]));
        }
    }
}

/// Rows of words, to be transposed.
///
/// # Safety
/// The instructions that an implementation uses are enabled, and its memory has what it says.
pub(crate) trait Rows {
    /// How many, at most QUERIES.
    fn rows(&self) -> usize;
    /// Words in each.
    fn words(&self) -> usize;
    /// Words of a row from `word` on; what is behind the row is of no matter.
    unsafe fn load(&self, row: usize, word: usize) -> __m512i;
}

/// Words `[words, QUERIES]` from rows; lanes behind the last row are zero up to a vector.
///
/// # Safety
/// AVX-512F is enabled, as for [`Rows`]; `to` has as many rows of QUERIES words as there are words.
#[inline(always)]
pub(crate) unsafe fn transpose_words(from: &impl Rows, to: *mut i32) {
    let (rows, words) = (from.rows(), from.words());
    let mut lane = 0;
    while lane < rows {
        let mut word = 0;
        while word < words {
            // SAFETY: lane < rows and word < words.
            unsafe {
                let mut a = [_mm512_setzero_ps(); LANES];
                for (r, a) in a.iter_mut().enumerate() {
                    if lane + r < rows {
                        *a = _mm512_castsi512_ps(from.load(lane + r, word));
                    }
                }
                for (r, row) in transpose16(a).into_iter().enumerate() {
                    if word + r < words {
                        let at = to.add((word + r) * QUERIES + lane);
                        _mm512_storeu_si512(at.cast(), _mm512_castps_si512(row));
                    }
                }
            }
            word += LANES;
        }
        lane += LANES;
    }
}
