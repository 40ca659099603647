//! An orthonormal basis of the columns of a tall matrix.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis};
use rayon::prelude::*;

/// Columns orthonormalised together: what is left to the slow column-by-column step.
const PANEL: usize = 32;
/// Entries of the columns updated at a time.
const ENTRIES: usize = 1024;
/// A column that keeps less than this share of its norm depends on the ones before it, up to rounding.
const DEPENDENT: f64 = 1e-12;

/// Orthonormal columns that span those of `matrix` `[n, k]`; a column that depends on the ones before it becomes zero.
///
/// Gram-Schmidt by panels, each twice against what is done ("twice is enough", Giraud, Langou & Rozložník 2005) by matrix
/// products, then modified Gram-Schmidt twice within the panel. O(n·k²), on the current rayon pool, the products in chunks
/// of fixed size so that the bits do not depend on the threads.
pub(super) fn orthonormalise(matrix: &Array2<f64>) -> Array2<f64> {
    // Columns as rows from here on: contiguous.
    let mut basis = matrix.t().as_standard_layout().into_owned();
    let columns = basis.nrows();
    for start in (0..columns).step_by(PANEL) {
        let (done, rest) = basis.view_mut().split_at(Axis(0), start);
        let (mut panel, _) = rest.split_at(Axis(0), PANEL.min(columns - start));
        let norms: Vec<f64> = panel
            .rows()
            .into_iter()
            .map(|column| column.dot(&column).sqrt())
            .collect();
        for _ in 0..2 {
            subtract_projection(done.view(), panel.view_mut());
        }
        for (at, &norm) in norms.iter().enumerate() {
            let (before, mut after) = panel.view_mut().split_at(Axis(0), at);
            normalise_against(before.view(), after.row_mut(0), norm);
        }
    }
    basis.t().as_standard_layout().into_owned()
}

/// Takes from every row of `panel` `[p, n]` its projection on the orthonormal rows of `done` `[s, n]`.
fn subtract_projection(done: ArrayView2<'_, f64>, mut panel: ArrayViewMut2<'_, f64>) {
    if done.nrows() == 0 {
        return;
    }
    let mut shares = Array2::zeros((done.nrows(), panel.nrows()));
    let by_row: Vec<_> = shares
        .axis_chunks_iter_mut(Axis(0), PANEL)
        .zip(done.axis_chunks_iter(Axis(0), PANEL))
        .collect();
    by_row
        .into_par_iter()
        .for_each(|(mut out, rows)| general_mat_mul(1.0, &rows, &panel.t(), 0.0, &mut out));
    let by_entry: Vec<_> = panel
        .axis_chunks_iter_mut(Axis(1), ENTRIES)
        .zip(done.axis_chunks_iter(Axis(1), ENTRIES))
        .collect();
    by_entry
        .into_par_iter()
        .for_each(|(mut out, entries)| general_mat_mul(-1.0, &shares.t(), &entries, 1.0, &mut out));
}

fn normalise_against(
    before: ArrayView2<'_, f64>,
    mut column: ArrayViewMut1<'_, f64>,
    original: f64,
) {
    for _ in 0..2 {
        for earlier in before.rows() {
            let share = earlier.dot(&column);
            column.scaled_add(-share, &earlier);
        }
    }
    let norm = column.dot(&column).sqrt();
    if norm > DEPENDENT * original {
        column.mapv_inplace(|value| value / norm);
    } else {
        column.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::test::assert_close;
    use rand::{Rng, SeedableRng};

    #[test]
    fn columns_are_orthonormal_and_span_the_same_space() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let mut matrix = Array2::from_shape_simple_fn((1500, 70), || rng.random::<f64>() - 0.5);
        // Columns of very different size, and one that depends on two others across panels.
        matrix.column_mut(5).mapv_inplace(|value| value * 1e9);
        let dependent = &matrix.column(2) + &matrix.column(40);
        matrix.column_mut(60).assign(&dependent);
        let basis = orthonormalise(&matrix);
        assert!(basis.column(60).iter().all(|&value| value == 0.0));
        let mut identity = Array2::eye(70);
        identity[[60, 60]] = 0.0;
        assert_close(&basis.t().dot(&basis), &identity, 1e-12);
        matrix.column_mut(5).mapv_inplace(|value| value * 1e-9);
        assert_close(&basis.dot(&basis.t().dot(&matrix)), &matrix, 1e-10);
    }
}
