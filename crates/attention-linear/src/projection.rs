//! Block-orthogonal Gaussian projections.

use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// ω_1 … ω_m `[m, D]` as the variants draw them from a seed, so that the same estimate can be made
/// elsewhere: orthogonal within each block of D rows, each row a standard Gaussian by itself. Those
/// of a smaller m are the first of a larger one's.
///
/// Source: Choromanski et al., Rethinking Attention with Performers, ICLR 2021, section 2.4.
/// Cost: O(m·D²).
///
/// ```
/// let omega = attention_linear::projection(8, 4, 0);
/// assert!(omega.row(0).dot(&omega.row(3)).abs() < 1e-5);
/// assert_eq!(omega.row(7), attention_linear::projection(16, 4, 0).row(7));
/// ```
#[must_use]
pub fn projection(m: usize, d: usize, seed: u64) -> Array2<f32> {
    let rows = Projection::draw(m, d, seed, 1).rows;
    Array2::from_shape_fn((m, d), |(f, i)| rows[f * d + i])
}

/// ω_1 … ω_m `[m, D]`, in both orders in which the products need it.
#[derive(Debug)]
pub(crate) struct Projection {
    /// `[m, D]`.
    pub(crate) rows: Vec<f32>,
    /// `[D, m]`, rows `stride` floats apart.
    pub(crate) columns: Vec<f32>,
    pub(crate) stride: usize,
}

impl Projection {
    /// Draws m directions, orthogonal within each block of D of them, each as long as a Gaussian
    /// vector of its own: every ω_f is by itself a standard Gaussian, which keeps estimates
    /// unbiased, and their dependence lowers the variance (Choromanski et al. 2021, section 2.4).
    ///
    /// Cost: O(m·D²), once a D.
    pub(crate) fn draw(m: usize, d: usize, seed: u64, lanes: usize) -> Self {
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
        let stride = m.next_multiple_of(lanes);
        let mut columns = vec![0.0; d * stride];
        for (f, row) in rows.chunks_exact(d.max(1)).enumerate() {
            for (i, x) in row.iter().enumerate() {
                columns[i * stride + f] = *x;
            }
        }
        Self {
            rows,
            columns,
            stride,
        }
    }
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
        let projection = Projection::draw(m, d, 3, 8);
        let row = |f: usize| &projection.rows[f * d..(f + 1) * d];
        let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
        for f in 0..m {
            for g in f / d * d..f {
                assert!(dot(row(f), row(g)).abs() < 1e-4, "{f} and {g}");
            }
            assert_eq!(projection.columns[5 * projection.stride + f], row(f)[5]);
        }
        // The squared length has mean d and variance 2d.
        let mean = (0..m).map(|f| f64::from(dot(row(f), row(f)))).sum::<f64>() / m as f64;
        let tolerance = 4.0 * (2.0 * d as f64 / m as f64).sqrt();
        assert!((mean - d as f64).abs() < tolerance, "{mean}");
    }
}
