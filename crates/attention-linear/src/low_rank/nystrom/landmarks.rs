//! Landmarks: means of segments of consecutive tokens, and the way back.

use crate::low_rank::kernels::kernel;
use crate::low_rank::memory::padded;
use attention::simd::{Block, Target};
use std::ops::Range;

/// Tokens of the r-th of m segments of a history of n: those with floor(i·m/n) = r.
pub(super) fn segment(r: usize, m: usize, n: usize) -> Range<usize> {
    (r * n).div_ceil(m)..((r + 1) * n).div_ceil(m)
}

kernel! {
/// Writes the landmarks `which` of m over all rows of a history, rows filled up.
fn means<V>(x: Block<*const f32>, m: usize, which: Range<usize>, to: *mut f32) {
    for r in which {
        let segment = segment(r, m, x.rows);
        let mean = std::slice::from_raw_parts_mut(to.add(r * padded(x.width)), x.width);
        mean.fill(0.0);
        let factor = 1.0 / segment.len() as f32;
        for i in segment {
            let row = std::slice::from_raw_parts(x.at.add(i * x.stride), x.width);
            mean.iter_mut().zip(row).for_each(|(x, y)| *x += y);
        }
        mean.iter_mut().for_each(|x| *x *= factor);
    }
}
}

kernel! {
/// Adds to the gradient of some tokens of n, a row each, that of the m landmarks, rows filled up.
fn spread<V>(
    landmarks: *const f32,
    m: usize,
    n: usize,
    tokens: Range<usize>,
    to: Target,
    width: usize,
) {
    for r in tokens.start * m / n..((tokens.end - 1) * m / n + 1).min(m) {
        let segment = segment(r, m, n);
        let factor = 1.0 / segment.len() as f32;
        let from = std::slice::from_raw_parts(landmarks.add(r * padded(width)), width);
        for i in segment.start.max(tokens.start)..segment.end.min(tokens.end) {
            let row = std::slice::from_raw_parts_mut(to.at(i - tokens.start, 0), width);
            row.iter_mut().zip(from).for_each(|(x, y)| *x += factor * y);
        }
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention::simd::Isa;

    #[test]
    fn segments_are_those_of_the_definition() {
        for (n, m) in [(10, 3), (64, 64), (100, 64), (7, 7), (5, 1)] {
            for i in 0..n {
                let r = i * m / n;
                assert!(segment(r, m, n).contains(&i), "{i} of {n}, {m} segments");
            }
            let tokens: usize = (0..m).map(|r| segment(r, m, n).len()).sum();
            assert_eq!(tokens, n);
        }
    }

    #[test]
    fn spreading_is_the_transpose_of_taking_means() {
        let (n, m, width) = (50, 7, 3);
        let x: Vec<f32> = (0..n * width).map(|i| (i * i % 17) as f32).collect();
        let d: Vec<f32> = (0..m * 16).map(|i| (i % 5) as f32 - 2.0).collect();
        let (mut marks, mut back) = (vec![0.0; m * 16], vec![0.0; n * width]);
        // SAFETY: all sizes are those of the vectors.
        unsafe {
            let rows = Block {
                at: x.as_ptr(),
                stride: width,
                rows: n,
                width,
            };
            means(Isa::detect(), rows, m, 0..m, marks.as_mut_ptr());
            for tokens in [0..13, 13..50] {
                let to = Target {
                    data: back.as_mut_ptr().add(tokens.start * width),
                    row: width,
                };
                spread(Isa::detect(), d.as_ptr(), m, n, tokens, to, width);
            }
        }
        let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
        let (a, b) = (dot(&marks, &d), dot(&x, &back));
        assert!((a - b).abs() < 1e-3 * a.abs(), "{a} {b}");
    }
}
