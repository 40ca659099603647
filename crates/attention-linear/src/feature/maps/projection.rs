//! Block-orthogonal Gaussian projections.

use crate::feature::kernels::LANES;
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Draws m directions `[m, D]`, orthogonal within each block of D of them, each as long as a Gaussian
/// vector of its own: every ω_f is by itself a standard Gaussian, which keeps estimates unbiased, and
/// their dependence lowers the variance (Choromanski et al. 2021, section 2.4).
///
/// Cost: O(m·D²).
pub(super) fn draw(m: usize, d: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = Vec::with_capacity(m * d);
    let mut block: Vec<Vec<f64>> = Vec::new();
    for _ in 0..m {
        if block.len() == d {
            block.clear();
        }
        let direction = orthogonal_to(&block, gaussian(&mut rng, d));
        let length = norm(&gaussian(&mut rng, d));
        rows.extend(direction.iter().map(|x| (x * length) as f32));
        block.push(direction);
    }
    rows
}

/// The directions Ω `[m, D]` that FAVOR+ and random Fourier features draw from a seed: orthogonal
/// within each block of D, each with the length of a Gaussian vector of its own.
///
/// Source: Choromanski et al., Rethinking Attention with Performers, ICLR 2021, section 2.4.
/// Cost: O(m·D²).
#[must_use]
pub fn projection(m: usize, d: usize, seed: u64) -> Array2<f32> {
    let rows = draw(m, d, seed);
    Array2::from_shape_fn((m, d), |(f, i)| rows[f * d + i])
}

/// Ωᵀ `[D, m]` of Ω `[m, D]`, rows padded with zeros to `stride` floats.
pub(super) fn transposed(rows: &[f32], d: usize, stride: usize) -> Vec<f32> {
    let mut columns = vec![0.0; d * stride];
    for (f, row) in rows.chunks_exact(d.max(1)).enumerate() {
        for (i, x) in row.iter().enumerate() {
            columns[i * stride + f] = *x;
        }
    }
    columns
}

/// Ω `[m, D]` with rows padded with zeros to whole lanes.
pub(super) fn padded(rows: &[f32], d: usize) -> Vec<f32> {
    let stride = d.next_multiple_of(LANES);
    let mut padded = vec![0.0; rows.len() / d.max(1) * stride];
    let pairs = padded
        .chunks_exact_mut(stride.max(1))
        .zip(rows.chunks_exact(d.max(1)));
    pairs.for_each(|(to, row)| to[..d].copy_from_slice(row));
    padded
}

fn gaussian(rng: &mut ChaCha8Rng, d: usize) -> Vec<f64> {
    (0..d).map(|_| StandardNormal.sample(rng)).collect()
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Gram-Schmidt, twice since once leaves rounding behind; unit length.
fn orthogonal_to(block: &[Vec<f64>], mut x: Vec<f64>) -> Vec<f64> {
    for _ in 0..2 {
        for other in block {
            let along: f64 = x.iter().zip(other).map(|(a, b)| a * b).sum();
            x.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let length = norm(&x);
        x.iter_mut().for_each(|a| *a /= length);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_orthogonal_and_lengths_are_those_of_gaussians() {
        let (m, d) = (400, 16);
        let (rows, stride) = (draw(m, d, 3), 416);
        let columns = transposed(&rows, d, stride);
        let row = |f: usize| &rows[f * d..(f + 1) * d];
        let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
        for f in 0..m {
            for g in f / d * d..f {
                assert!(dot(row(f), row(g)).abs() < 1e-4, "{f} and {g}");
            }
            assert_eq!(columns[5 * stride + f], row(f)[5]);
        }
        // The squared length has mean d and variance 2d.
        let mean = (0..m).map(|f| f64::from(dot(row(f), row(f)))).sum::<f64>() / m as f64;
        let tolerance = 4.0 * (2.0 * d as f64 / m as f64).sqrt();
        assert!((mean - d as f64).abs() < tolerance, "{mean}");
    }
}
