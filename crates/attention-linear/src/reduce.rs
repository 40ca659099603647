//! Sums and maxima of rows, with one running value a lane: an order that vectorises and that no
//! instruction set changes.

use crate::matmul::LANES;

/// Dot product.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (blocks_a, blocks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = blocks_a
        .remainder()
        .iter()
        .zip(blocks_b.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in blocks_a.zip(blocks_b) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// Sum.
#[inline(always)]
pub(crate) fn sum(a: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let blocks = a.chunks_exact(LANES);
    let tail: f32 = blocks.remainder().iter().sum();
    for x in blocks {
        for lane in 0..LANES {
            sums[lane] += x[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// Largest entry, NaN passed over; -inf of none.
#[inline(always)]
pub(crate) fn largest(a: &[f32]) -> f32 {
    let larger = |m: f32, x: f32| if x > m { x } else { m };
    let mut tops = [f32::NEG_INFINITY; LANES];
    let blocks = a.chunks_exact(LANES);
    let tail = blocks
        .remainder()
        .iter()
        .fold(f32::NEG_INFINITY, |m, &x| larger(m, x));
    for x in blocks {
        for lane in 0..LANES {
            tops[lane] = larger(tops[lane], x[lane]);
        }
    }
    tops.iter().fold(tail, |m, &x| larger(m, x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_counts() {
        let a: Vec<f32> = (0..39).map(|i| i as f32).collect();
        assert_eq!(sum(&a), 741.0);
        assert_eq!(dot(&a, &a), (0..39).map(|i| (i * i) as f32).sum());
        for at in 0..39 {
            let mut a = vec![-2.0; 39];
            (a[at], a[38 - at / 2]) = (3.0, f32::NAN);
            let expected = if at == 38 - at / 2 { -2.0 } else { 3.0 };
            assert_eq!(largest(&a), expected, "{at}");
        }
        assert_eq!(largest(&[]), f32::NEG_INFINITY);
    }
}
