//! Singular values and left vectors of a small square matrix by one-sided Jacobi rotations.

use ndarray::Array2;
use rayon::prelude::*;

const MAX_SWEEPS: usize = 40;
/// Columns whose cosine is below this count as orthogonal.
const ORTHOGONAL: f64 = 1e-12;

/// `(U, σ)` of a `[k, k]` matrix, σ descending; columns of U whose σ is 0 are zero.
///
/// Hestenes' method (Golub & Van Loan, Matrix Computations, 4th ed., section 8.6.3) with the pairs of a round-robin
/// tournament, k/2 of them at a time on the current rayon pool: they share no column, so that the order and the bits are
/// the same for any thread count. O(k³) a sweep, some 6 to 12 sweeps.
pub(super) fn left_singular(matrix: &Array2<f64>) -> (Array2<f64>, Vec<f64>) {
    let size = matrix.nrows();
    // One column a vector, in tournament order: 2i plays against 2i + 1. An odd one out plays an empty column.
    let mut slots: Vec<(usize, Vec<f64>)> = matrix
        .columns()
        .into_iter()
        .map(|column| column.to_vec())
        .enumerate()
        .collect();
    if size % 2 == 1 {
        slots.push((size, vec![0.0; size]));
    }
    for _ in 0..MAX_SWEEPS {
        let mut largest = 0.0f64;
        for _ in 1..slots.len() {
            let of_round = slots.par_chunks_exact_mut(2).map(|pair| {
                let (left, right) = pair.split_at_mut(1);
                rotate(&mut left[0].1, &mut right[0].1)
            });
            largest = largest.max(of_round.reduce(|| 0.0, f64::max));
            next_round(&mut slots);
        }
        if largest < ORTHOGONAL {
            break;
        }
    }
    let mut columns: Vec<(f64, usize, Vec<f64>)> = slots
        .into_iter()
        .filter(|(at, _)| *at < size)
        .map(|(at, column)| (dot(&column, &column).sqrt(), at, column))
        .collect();
    columns.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut vectors = Array2::zeros((size, size));
    for ((sigma, _, column), mut target) in columns.iter().zip(vectors.columns_mut()) {
        if *sigma > 0.0 {
            target
                .iter_mut()
                .zip(column)
                .for_each(|(entry, value)| *entry = value / sigma);
        }
    }
    (vectors, columns.iter().map(|&(sigma, ..)| sigma).collect())
}

/// Makes two columns orthogonal; answers with the cosine they had.
fn rotate(left: &mut [f64], right: &mut [f64]) -> f64 {
    let (alpha, beta, gamma) = (dot(left, left), dot(right, right), dot(left, right));
    let cosine = gamma.abs() / (alpha.sqrt() * beta.sqrt());
    if gamma == 0.0 || !cosine.is_finite() || cosine < ORTHOGONAL {
        return 0.0;
    }
    let zeta = (beta - alpha) / (2.0 * gamma);
    let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
    let c = 1.0 / (1.0 + tangent * tangent).sqrt();
    let s = c * tangent;
    for (a, b) in left.iter_mut().zip(right) {
        let (x, y) = (*a, *b);
        *a = c * x - s * y;
        *b = s * x + c * y;
    }
    cosine
}

/// The circle method: the first slot stays, the others move on by one place.
fn next_round(slots: &mut [(usize, Vec<f64>)]) {
    let (tops, count) = (slots.len() / 2, slots.len());
    if tops < 2 {
        return;
    }
    // Along the circle: 2, 4, ..., count-2, count-1, count-3, ..., 1, each taking the place of the next.
    let circle: Vec<usize> = (1..tops)
        .map(|top| 2 * top)
        .chain((0..tops).rev().map(|top| 2 * top + 1))
        .collect();
    debug_assert_eq!(circle.len(), count - 1);
    for places in circle.windows(2).rev() {
        slots.swap(places[0], places[1]);
    }
}

/// Eight running sums, so that the compiler can keep them in vector registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_blocks, b_blocks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_blocks
        .remainder()
        .iter()
        .zip(b_blocks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_blocks.zip(b_blocks) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::test::assert_close;
    use rand::{Rng, SeedableRng};

    #[test]
    fn every_pair_meets_once_a_sweep() {
        for count in [2, 4, 6, 10] {
            let mut slots: Vec<(usize, Vec<f64>)> = (0..count).map(|at| (at, vec![])).collect();
            let mut met = std::collections::BTreeSet::new();
            for _ in 1..count {
                for pair in slots.chunks(2) {
                    assert!(
                        met.insert((pair[0].0.min(pair[1].0), pair[0].0.max(pair[1].0))),
                        "{count}"
                    );
                }
                next_round(&mut slots);
            }
            assert_eq!(met.len(), count * (count - 1) / 2);
        }
    }

    #[test]
    fn vectors_diagonalise_the_gram_matrix() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        for size in [1, 2, 7, 40] {
            let matrix = Array2::from_shape_simple_fn((size, size), || rng.random::<f64>() - 0.5);
            let (u, sigma) = left_singular(&matrix);
            let squares =
                Array2::from_diag(&ndarray::Array1::from_iter(sigma.iter().map(|s| s * s)));
            assert!(sigma.is_sorted_by(|a, b| a >= b));
            assert_close(&u.t().dot(&u), &Array2::eye(size), 1e-10);
            assert_close(
                &u.t().dot(&matrix).dot(&matrix.t()).dot(&u),
                &squares,
                1e-10,
            );
        }
    }
}
