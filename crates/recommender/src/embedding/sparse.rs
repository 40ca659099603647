//! Sparse matrices by rows, and their product with a dense one.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

/// Rows of the product made at a time; fixed, so that the bits do not depend on the threads.
const ROW_BLOCK: usize = 128;
/// From this share of nonzeros on, unpacking a block and using the dense product is the faster way.
const DENSE_SHARE: f64 = 1.0 / 16.0;

/// A sparse matrix `[rows, columns]` in compressed rows, columns ascending in each row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Csr<T> {
    pub(super) columns: usize,
    pub(super) offsets: Vec<usize>,
    pub(super) indices: Vec<u32>,
    pub(super) values: Vec<T>,
}

impl<T: Copy + Default + Send + Sync> Csr<T> {
    /// Lays rows of `(column, value)` end to end.
    pub(super) fn from_rows(columns: usize, rows: Vec<Vec<(u32, T)>>) -> Self {
        let stored = rows.iter().map(Vec::len).sum();
        let mut matrix = Self {
            columns,
            offsets: vec![0],
            indices: Vec::with_capacity(stored),
            values: Vec::with_capacity(stored),
        };
        for row in rows {
            matrix.indices.extend(row.iter().map(|&(column, _)| column));
            matrix.values.extend(row.iter().map(|&(_, value)| value));
            matrix.offsets.push(matrix.indices.len());
        }
        matrix
    }

    pub(super) fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(super) fn row(&self, row: usize) -> (&[u32], &[T]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The transpose, by a counting sort of the columns: O(nonzeros + columns).
    pub(super) fn transpose(&self) -> Self {
        let mut offsets = vec![0usize; self.columns + 1];
        for &column in &self.indices {
            offsets[column as usize + 1] += 1;
        }
        for column in 1..offsets.len() {
            offsets[column] += offsets[column - 1];
        }
        let mut next = offsets.clone();
        let mut indices = vec![0u32; self.indices.len()];
        let mut values = vec![T::default(); self.values.len()];
        for row in 0..self.rows() {
            let (columns, row_values) = self.row(row);
            for (&column, &value) in columns.iter().zip(row_values) {
                let slot = &mut next[column as usize];
                indices[*slot] = row as u32;
                values[*slot] = value;
                *slot += 1;
            }
        }
        Self {
            columns: self.rows(),
            offsets,
            indices,
            values,
        }
    }
}

impl Csr<f32> {
    /// This `[m, n]` times a dense `[n, k]`, in f64, on the current rayon pool: O(nonzeros · k), or O(m · n · k) at the
    /// speed of a dense product where a block of rows is dense enough for that to be less.
    pub(super) fn times(&self, dense: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut product = Array2::zeros((self.rows(), dense.ncols()));
        let blocks: Vec<_> = product.axis_chunks_iter_mut(Axis(0), ROW_BLOCK).collect();
        blocks.into_par_iter().enumerate().for_each(|(block, out)| {
            self.block_times(block * ROW_BLOCK, dense, out);
        });
        product
    }

    fn block_times(
        &self,
        first: usize,
        dense: ArrayView2<'_, f64>,
        mut out: ArrayViewMut2<'_, f64>,
    ) {
        let rows = out.nrows();
        let stored = self.offsets[first + rows] - self.offsets[first];
        if stored as f64 >= DENSE_SHARE * (rows * self.columns) as f64 {
            let mut unpacked = Array2::zeros((rows, self.columns));
            for (row, mut target) in unpacked.rows_mut().into_iter().enumerate() {
                let (columns, values) = self.row(first + row);
                columns
                    .iter()
                    .zip(values)
                    .for_each(|(&column, &value)| target[column as usize] = f64::from(value));
            }
            ndarray::linalg::general_mat_mul(1.0, &unpacked, &dense, 0.0, &mut out);
            return;
        }
        for (row, mut target) in out.rows_mut().into_iter().enumerate() {
            let (columns, values) = self.row(first + row);
            for (&column, &value) in columns.iter().zip(values) {
                target.scaled_add(f64::from(value), &dense.row(column as usize));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::test::assert_close;
    use ndarray::array;

    #[test]
    fn products_by_rows_and_by_dense_blocks_agree_with_the_definition() {
        // 300 rows: more than two blocks; a few rows dense, the last hundred nearly empty.
        let entry = |row: usize, column: usize| match row {
            0..150 => (row * 7 + column * 3) as f32 % 5.0 - 2.0,
            _ if column == row % 40 => row as f32,
            _ => 0.0,
        };
        let rows = (0..300)
            .map(|row| {
                (0..40)
                    .map(|column| (column as u32, entry(row, column)))
                    .filter(|&(_, v)| v != 0.0)
                    .collect()
            })
            .collect();
        let matrix = Csr::from_rows(40, rows);
        let dense = Array2::from_shape_fn((40, 3), |(row, column)| {
            (row as f64 - 20.0) * (column as f64 + 0.5)
        });
        let full = Array2::from_shape_fn((300, 40), |(row, column)| f64::from(entry(row, column)));
        assert_close(&matrix.times(dense.view()), &full.dot(&dense), 1e-9);
        let back =
            Array2::from_shape_fn((300, 2), |(row, column)| (row as f64).sin() + column as f64);
        assert_close(
            &matrix.transpose().times(back.view()),
            &full.t().dot(&back),
            1e-9,
        );
    }

    #[test]
    fn transpose_keeps_columns_ascending() {
        let matrix = Csr::from_rows(
            3,
            vec![
                vec![(0, 1.0f32), (2, 2.0)],
                vec![],
                vec![(0, 3.0), (1, 4.0)],
            ],
        );
        let turned = matrix.transpose();
        assert_eq!(
            turned,
            Csr::from_rows(
                3,
                vec![vec![(0, 1.0), (2, 3.0)], vec![(2, 4.0)], vec![(0, 2.0)]]
            )
        );
        assert_eq!(
            turned.times(array![[1.0], [10.0], [100.0]].view()),
            array![[301.0], [400.0], [2.0]]
        );
    }
}
