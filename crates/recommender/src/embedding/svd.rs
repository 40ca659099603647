//! Randomised singular value decomposition of a sparse matrix.

use ndarray::{Array2, Axis, Slice};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::jacobi::left_singular;
use super::orthonormal::orthonormalise;
use super::sparse::Csr;

/// How the range of the matrix is found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) oversampling: usize,
    pub(super) power_iterations: usize,
    pub(super) seed: u64,
}

/// The first `rank` left singular vectors `[m, rank]` and singular values of `matrix` `[m, n]`, approximately.
///
/// Halko, Martinsson & Tropp 2011: the range by Algorithm 4.4 (randomised subspace iteration), the decomposition by
/// Algorithm 5.1, in f64, on the current rayon pool, the same bits for any number of threads. Beyond the rank of the
/// matrix vectors and values are zero. The sign is fixed: the entry of largest size in each vector is positive.
/// O((2q + 3)·nonzeros·l + (m + n)·l²) for q power iterations and l = rank + oversampling.
pub(super) fn randomised_svd(
    matrix: &Csr<f32>,
    rank: usize,
    range: Range,
) -> (Array2<f64>, Vec<f64>) {
    let width = rank
        .saturating_add(range.oversampling)
        .min(matrix.rows())
        .min(matrix.columns);
    let turned = matrix.transpose();
    let mut rng = ChaCha8Rng::seed_from_u64(range.seed);
    let random = Array2::random_using((matrix.columns, width), StandardNormal, &mut rng);
    let mut basis = orthonormalise(&matrix.times(random.view()));
    for _ in 0..range.power_iterations {
        let back = orthonormalise(&turned.times(basis.view()));
        basis = orthonormalise(&matrix.times(back.view()));
    }
    // B = QᵀA has its rows in the span of Z = orth(AᵀQ), so the k x k matrix QᵀAZ has B's singular values and left vectors.
    let rows = orthonormalise(&turned.times(basis.view()));
    let (left, mut sigma) = left_singular(&basis.t().dot(&matrix.times(rows.view())));
    let rank = rank.min(width);
    let mut vectors = basis.dot(&left.slice_axis(Axis(1), Slice::from(..rank)));
    sigma.truncate(rank);
    for mut vector in vectors.columns_mut() {
        let largest = vector.iter().copied().fold(0.0f64, |best, entry| {
            if entry.abs() > best.abs() {
                entry
            } else {
                best
            }
        });
        if largest < 0.0 {
            vector.mapv_inplace(|entry| -entry);
        }
    }
    (vectors, sigma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::test::assert_close;
    use approx::assert_relative_eq;

    const RANGE: Range = Range {
        oversampling: 6,
        power_iterations: 2,
        seed: 9,
    };

    /// Two orthogonal cosine waves either side, with singular values 30 and 4.
    fn low_rank() -> (Csr<f32>, Array2<f64>) {
        let wave = |length: usize, frequency: usize| {
            let norm = (2.0 / length as f64).sqrt();
            move |at: usize| {
                norm * (std::f64::consts::PI * frequency as f64 * (at as f64 + 0.5) / length as f64)
                    .cos()
            }
        };
        let (left, right) = ([wave(50, 1), wave(50, 2)], [wave(30, 3), wave(30, 5)]);
        let rows = (0..50)
            .map(|row| {
                let entry = |column| {
                    30.0 * left[0](row) * right[0](column) + 4.0 * left[1](row) * right[1](column)
                };
                (0..30)
                    .map(|column| (column as u32, entry(column) as f32))
                    .collect()
            })
            .collect();
        (
            Csr::from_rows(30, rows),
            Array2::from_shape_fn((50, 2), |(row, which)| left[which](row)),
        )
    }

    #[test]
    fn a_matrix_of_known_rank_gives_its_vectors_and_values() {
        let (matrix, left) = low_rank();
        let (vectors, sigma) = randomised_svd(&matrix, 4, RANGE);
        assert_relative_eq!(sigma[0], 30.0, max_relative = 1e-6);
        assert_relative_eq!(sigma[1], 4.0, max_relative = 1e-6);
        assert!(sigma[2] < 1e-5 && sigma[3] < 1e-5, "{sigma:?}");
        for which in 0..2 {
            let (found, known) = (vectors.column(which), left.column(which));
            assert_relative_eq!(found.dot(&known).abs(), 1.0, max_relative = 1e-6);
            let largest = found
                .iter()
                .copied()
                .max_by(|a, b| a.abs().total_cmp(&b.abs()))
                .unwrap();
            assert!(largest > 0.0);
        }
    }

    #[test]
    fn the_seed_matters_only_to_rounding_when_the_spectrum_decays() {
        let (matrix, _) = low_rank();
        let (one, _) = randomised_svd(&matrix, 2, RANGE);
        let (other, _) = randomised_svd(&matrix, 2, Range { seed: 10, ..RANGE });
        // Both columns up to sign: the cosine's two ends tie in size.
        assert_close(&one.dot(&one.t()), &other.dot(&other.t()), 1e-6);
    }
}
