//! Rounding of rows to eight bits, each with a scale of its own.

use crate::bf16;
use crate::narrow::wide::Rounding;
use attention::Head;
use attention::mask::Tile;
use attention::numeric::all_finite;
use ndarray::s;
use std::ops::Range;

/// The largest level; -128 stays unused.
pub(super) const LEVELS: f32 = 127.0;

/// Rows smaller than this are zero: the inverse of their scale would be infinite.
pub(super) const SMALLEST: f32 = 1e-30;

/// The scale of a row whose largest entry is `largest` in absolute value, and its inverse; NaN and 0
/// for a row with an entry that is not finite: such a key or query has NaN for scores, and no levels.
#[inline(always)]
pub(super) fn scale_of(largest: f32) -> (f32, f32) {
    if !largest.is_finite() {
        (f32::NAN, 0.0)
    } else if largest < SMALLEST {
        (1.0, 0.0)
    } else {
        (largest / LEVELS, LEVELS / largest)
    }
}

/// Queries and keys to eight bits a row; values to bf16.
pub(crate) struct Int8;

impl Rounding for Int8 {
    const SCALED: bool = true;

    #[inline(always)]
    fn row(x: &[f32], offset: &[f32], to: &mut [f32]) -> f32 {
        // Adding 1.5·2^23 leaves the nearest integer in the low bits of the sum.
        const ROUND: f32 = 12_582_912.0;
        to.copy_from_slice(x);
        for (to, m) in to.iter_mut().zip(offset) {
            *to -= m;
        }
        // As bits, so that NaN is the largest of all, and the loop vectorises.
        let bits = |x: &f32| x.to_bits() & 0x7fff_ffff;
        let largest = to.iter().fold(0, |largest: u32, x| largest.max(bits(x)));
        let (scale, inverse) = scale_of(f32::from_bits(largest));
        for to in to.iter_mut() {
            *to = if inverse == 0.0 {
                0.0
            } else {
                (*to * inverse + ROUND) - ROUND
            };
        }
        scale
    }

    #[inline(always)]
    fn value(x: f32) -> f32 {
        bf16::round(x)
    }
}

/// Keys that the mean is taken over, at most.
const SAMPLE: usize = 256;

/// Keys that are asked for together whether all queries see them.
const GROUP: usize = 16;

/// The mean of the first groups of keys that all queries of `rows` see; false where there are none.
///
/// A softmax is the same for keys that all differ by one vector, and what is left without their mean has
/// a smaller range (Zhang et al. 2025, SageAttention, section 4.2). A key that some query may not see
/// takes no part, so that what is hidden changes no output.
pub(super) fn mean_of_seen(head: &Head<'_>, rows: Range<usize>, mean: &mut [f32]) -> bool {
    mean.fill(0.0);
    let (span, mut count) = (head.mask.span_of(rows.clone()), 0);
    let mut start = span.start;
    while start < span.end && count < SAMPLE {
        let keys = start..(start + GROUP).min(span.end);
        start = keys.end;
        let group = head.k.slice(s![keys.clone(), ..]);
        if head.mask.tile(rows.clone(), keys.clone()) != Tile::Full || !all_finite(group) {
            continue;
        }
        count += keys.len();
        for key in group.outer_iter() {
            // Rows are contiguous; as slices the loop vectorises.
            for (mean, x) in mean.iter_mut().zip(key.as_slice().unwrap_or_default()) {
                *mean += x;
            }
        }
    }
    let share = 1.0 / count.max(1) as f32;
    mean.iter_mut().for_each(|mean| *mean *= share);
    count > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_the_nearest_and_the_largest_is_127() {
        let mut levels = [0.0; 5];
        let scale = Int8::row(&[2.54, -1.0, 0.011, 0.0, -2.54], &[], &mut levels);
        assert!((scale - 0.02).abs() < 1e-7);
        assert_eq!(levels, [127.0, -50.0, 1.0, 0.0, -127.0]);
    }

    #[test]
    fn rows_that_have_no_scale_are_zeros_or_nan() {
        let mut levels = [9.0; 2];
        assert_eq!(Int8::row(&[0.0, -0.0], &[], &mut levels), 1.0);
        assert_eq!(levels, [0.0; 2]);
        assert_eq!(Int8::row(&[3.0, 4.0], &[3.0, 4.0], &mut levels), 1.0);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(Int8::row(&[1.0, bad], &[], &mut levels).is_nan());
            assert_eq!(levels, [0.0; 2]);
        }
    }
}
