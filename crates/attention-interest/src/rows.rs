//! Rows of tokens in memory of a worker.

use attention::simd::matrix::{padded, unpack_rows};
use attention::simd::{Isa, Kernel, QUERIES, Vector, dispatch};
use ndarray::{ArrayView2, ArrayView4, ArrayViewMut2, Axis};
use std::ops::Range;

/// Some rows of a matrix.
pub(crate) fn tokens(x: ArrayView2<'_, f32>, rows: Range<usize>) -> ArrayView2<'_, f32> {
    x.slice_axis_move(Axis(0), rows.into())
}

/// Queries of one batch entry and head in a tensor that is shaped as O.
pub(crate) fn rows_of(
    tensor: ArrayView4<'_, f32>,
    batch: usize,
    head: usize,
    queries: Range<usize>,
) -> ArrayView2<'_, f32> {
    let heads = tensor.index_axis_move(Axis(0), batch);
    let head = heads.index_axis_move(Axis(0), head);
    head.slice_axis_move(Axis(0), queries.into())
}

/// Some rows and columns of a matrix in a slice, with `stride` floats from row to row.
pub(crate) fn corner(
    matrix: &[f32],
    stride: usize,
    rows: Range<usize>,
    columns: Range<usize>,
) -> ArrayView2<'_, f32> {
    let rows = &matrix[rows.start * stride..rows.end * stride];
    ArrayView2::from_shape((rows.len().checked_div(stride).unwrap_or(0), stride), rows)
        .expect("whole rows were taken")
        .slice_axis_move(Axis(1), columns.into())
}

/// Writes row r of X times `factors[r]`, filled up with zeros to whole vectors; gives whether all is finite.
pub(crate) fn copy_rows(isa: Isa, x: ArrayView2<'_, f32>, factors: &[f32], to: &mut [f32]) -> bool {
    struct Run<'a>(ArrayView2<'a, f32>, &'a [f32], &'a mut [f32], &'a mut bool);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Self(x, factors, to, finite) = self;
            let width = x.ncols();
            let mut lanes = [0.0f32; 16];
            let rows = to.chunks_exact_mut(padded(width).max(1));
            for ((row, to), factor) in x.outer_iter().zip(rows).zip(factors) {
                let (numbers, filling) = to.split_at_mut(width);
                filling.fill(0.0);
                match row.as_slice() {
                    Some(row) => {
                        for (to, x) in numbers.iter_mut().zip(row) {
                            *to = factor * x;
                        }
                    }
                    None => {
                        for (to, x) in numbers.iter_mut().zip(row) {
                            *to = factor * x;
                        }
                    }
                }
                // Zero times what is not finite is NaN.
                for group in to.as_chunks::<16>().0 {
                    for (lane, x) in lanes.iter_mut().zip(group) {
                        *lane += 0.0 * x;
                    }
                }
            }
            *finite = lanes.iter().sum::<f32>() == 0.0;
        }
    }
    let mut finite = true;
    dispatch(isa, Run(x, factors, to, &mut finite));
    finite
}

/// Adds a[r]·b to row r of a matrix, where a[r] is not zero.
pub(crate) fn outer_add(isa: Isa, a: &[f32], b: &[f32], matrix: &mut [f32]) {
    struct Run<'a>(&'a [f32], &'a [f32], &'a mut [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Self(a, b, matrix) = self;
            for (row, a) in matrix.chunks_exact_mut(b.len().max(1)).zip(a) {
                if *a != 0.0 {
                    for (sum, b) in row.iter_mut().zip(b) {
                        *sum += a * b;
                    }
                }
            }
        }
    }
    dispatch(isa, Run(a, b, matrix));
}

/// Adds the transpose of lanes `[D, 64]` to rows `[keys, D]`.
pub(crate) fn add_turned(lanes: &[f32], rows: &mut [f32], width: usize) {
    for (lane, row) in rows.chunks_exact_mut(width.max(1)).enumerate() {
        for (c, sum) in row.iter_mut().enumerate() {
            *sum += lanes[c * QUERIES + lane];
        }
    }
}

/// Rows `[64, A filled up]` of lanes `[A, 64]`.
pub(crate) fn turn(isa: Isa, lanes: &[f32], rows: &mut [f32], width: usize) {
    let shape = (QUERIES, padded(width));
    let rows = &mut rows[..shape.0 * shape.1];
    let rows = ArrayViewMut2::from_shape(shape, rows).expect("rows of that size");
    let rows = rows.slice_axis_move(Axis(1), (..width).into());
    unpack_rows(isa, lanes, &[1.0; QUERIES], rows);
}
