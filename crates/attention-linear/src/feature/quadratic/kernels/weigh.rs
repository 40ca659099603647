//! From scores to weights, in the rows of a chunk.

#![allow(unsafe_code)]

use crate::feature::kernels::{LANES, columns};
use crate::feature::quadratic::rule::Polynomial;
use ::attention::simd::{Isa, Kernel, Vector, dispatch};

const ONES: [f32; LANES] = [1.0; LANES];

/// What becomes of a score.
#[derive(Clone, Copy)]
pub(in crate::feature::quadratic) enum Weigh<'a> {
    /// p(s).
    By(Polynomial),
    /// 2^(s - units[row]).
    Exponential(&'a [f32]),
}

/// The largest score of each row among the columns that it sees, passing over NaN, or `least` where
/// that is larger.
pub(in crate::feature::quadratic) fn peaks(
    isa: Isa,
    scores: &[f32],
    stride: usize,
    seen: &[usize],
    least: f32,
    to: &mut [f32],
) {
    assert!(fits(scores.len(), stride, seen) && seen.len() <= to.len());
    struct Run<'a>(&'a [f32], usize, &'a [usize], f32, &'a mut [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(scores, stride, seen, least, to) = self;
            for ((r, &seen), to) in seen.iter().enumerate().zip(to) {
                // SAFETY: rows and columns are those that were checked.
                unsafe {
                    let row = scores.as_ptr().add(r * stride);
                    let mut most = V::splat(least);
                    let mut c = 0;
                    while c < seen {
                        let left = (seen - c).min(V::LANES);
                        let v = V::load_first(row.add(c), left);
                        let ones = V::load_first(ONES.as_ptr(), left);
                        let hidden = V::splat(f32::NEG_INFINITY);
                        // NaN is greater than nothing, so it is tested by itself.
                        let v = ones.select_greater(V::splat(0.0), v, hidden);
                        most = v.max(most);
                        c += V::LANES;
                    }
                    *to = most.largest();
                }
            }
        }
    }
    dispatch(isa, Run(scores, stride, seen, least, to));
}

/// Turns scores into weights, zero from `seen[r]` on up to whole lanes as the row's group of 16 needs
/// them, and adds them up; `slopes`, where there is room for them, are the derivatives by the score
/// (by the natural one, where weights are exponentials).
pub(in crate::feature::quadratic) fn weigh(
    isa: Isa,
    how: Weigh<'_>,
    (scores, slopes): (&mut [f32], &mut [f32]),
    stride: usize,
    seen: &[usize],
    totals: &mut [f32],
) {
    assert!(fits(scores.len(), stride, seen) && seen.len() <= totals.len());
    assert!(slopes.is_empty() || fits(slopes.len(), stride, seen));
    assert!(!matches!(how, Weigh::Exponential(units) if units.len() < seen.len()));
    struct Run<'a>(
        Weigh<'a>,
        (&'a mut [f32], &'a mut [f32]),
        usize,
        &'a [usize],
        &'a mut [f32],
    );
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(how, (scores, slopes), stride, seen, totals) = self;
            for (group, rows) in seen.chunks(LANES).enumerate() {
                let width = columns(rows);
                for (half, rows) in rows.chunks(8).enumerate() {
                    let first = group * LANES + half * 8;
                    // SAFETY: rows and columns are those that were checked.
                    unsafe {
                        let mut sums = [V::splat(0.0); 8];
                        for (r, (sum, &seen)) in (first..).zip(sums.iter_mut().zip(rows)) {
                            let row = scores.as_mut_ptr().add(r * stride);
                            let slopes = if slopes.is_empty() {
                                std::ptr::null_mut()
                            } else {
                                slopes.as_mut_ptr().add(r * stride)
                            };
                            *sum = weigh_row::<V>(how, r, (row, slopes), (seen, width));
                        }
                        let sums = V::sums(sums);
                        let totals = totals[first..].iter_mut();
                        totals.zip(&sums[..rows.len()]).for_each(|(t, s)| *t += s);
                    }
                }
            }
        }
    }
    dispatch(isa, Run(how, (scores, slopes), stride, seen, totals));
}

/// One row: weights in place, and their derivatives where these have an address.
///
/// # Safety
/// As for [`Vector`]; the row has `width` columns, whole lanes, of which `seen` are visible.
#[inline(always)]
unsafe fn weigh_row<V: Vector>(
    how: Weigh<'_>,
    r: usize,
    (row, slopes): (*mut f32, *mut f32),
    (seen, width): (usize, usize),
) -> V {
    // SAFETY: the caller's.
    unsafe {
        let mut sum = V::splat(0.0);
        let mut c = 0;
        while c < width {
            let left = seen.saturating_sub(c).min(V::LANES);
            let s = V::load_first(row.add(c), left);
            let ones = V::load_first(ONES.as_ptr(), left);
            let (w, slope) = match how {
                Weigh::By(p) => {
                    let second = V::splat(p.second);
                    let lower = V::splat(if p.first { 1.0 } else { 0.0 });
                    let w = second.mul(s).add(lower).mul_add(s, lower);
                    (w, second.add(second).mul_add(s, lower))
                }
                Weigh::Exponential(units) => {
                    let w = s.sub(V::splat(units[r])).exp2();
                    // What is hidden may lie far above the row's units.
                    let w = ones.select_greater(V::splat(0.0), w, ones);
                    (w, w)
                }
            };
            let w = w.mul(ones);
            sum = sum.add(w);
            w.store(row.add(c));
            if !slopes.is_null() {
                slope.mul(ones).store(slopes.add(c));
            }
            c += V::LANES;
        }
        sum
    }
}

/// Whether a matrix has the columns that its rows see, in whole lanes.
fn fits(floats: usize, stride: usize, seen: &[usize]) -> bool {
    columns(seen) <= stride && seen.len() * stride <= floats
}
