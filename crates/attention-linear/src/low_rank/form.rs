//! What the slow, plain f64 forms of the family share.

use ndarray::{Array2, ArrayView2, Axis};

/// Softmax over each row.
pub(crate) fn softmax(mut scores: Array2<f64>) -> Array2<f64> {
    for mut row in scores.axis_iter_mut(Axis(0)) {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.mapv_inplace(|x| (x - top).exp());
        let sum = row.sum();
        row /= sum;
    }
    scores
}

/// Softmax over each column.
pub(crate) fn softmax_columns(scores: Array2<f64>) -> Array2<f64> {
    softmax(scores.reversed_axes()).reversed_axes()
}

/// The first `n` rows in f64.
pub(crate) fn first(rows: ArrayView2<'_, f32>, n: usize) -> Array2<f64> {
    rows.slice(ndarray::s![..n, ..]).mapv(f64::from)
}

/// Weights of the first keys of a history, with zeros for the others.
pub(crate) fn for_all_keys(weights: &Array2<f64>, keys: usize) -> Array2<f64> {
    let mut all = Array2::zeros((weights.nrows(), keys));
    let mut seen = all.slice_mut(ndarray::s![.., ..weights.ncols()]);
    seen.assign(weights);
    all
}
