//! Slow, plain attention in f64 from weights: what the kernels are gated against.
//!
//! Every weight is written out, nothing is chunked and no code is shared with the engine.

use attention::oracle::dot;
use attention::{Form, Head};
use ndarray::{Array2, ArrayView2};

/// φ(q_i)·φ(k_j) `[rows, Nk]` of features `[rows, m]` and `[Nk, m]`; zero where masked.
pub(crate) fn products(
    head: &Head<'_>,
    rows: &[usize],
    phi_q: ArrayView2<'_, f64>,
    phi_k: ArrayView2<'_, f64>,
) -> Array2<f64> {
    let mut weights = Array2::zeros((rows.len(), phi_k.nrows()));
    for (r, &i) in rows.iter().enumerate() {
        for j in head.mask.span(i) {
            weights[[r, j]] = dot(phi_q.row(r), phi_k.row(j));
        }
    }
    weights
}

/// Divides each row by its sum, or by `least` where that is larger.
pub(crate) fn normalise_rows(weights: &mut Array2<f64>, least: f64) {
    for mut row in weights.outer_iter_mut() {
        let sum = row.sum();
        let sum = if sum < least { least } else { sum };
        row.mapv_inplace(|w| w / sum);
    }
}

/// The output of given weights `[rows, Nk]`; masked values are not touched.
pub(crate) fn output(head: &Head<'_>, rows: &[usize], weights: Array2<f64>) -> Form {
    let values = head.v.mapv(f64::from);
    let mut output = Array2::zeros((rows.len(), values.ncols()));
    for (r, &i) in rows.iter().enumerate() {
        let mut o = output.row_mut(r);
        for j in head.mask.span(i) {
            o.scaled_add(weights[[r, j]], &values.row(j));
        }
    }
    Form {
        output,
        weights: Some(weights),
    }
}

/// The queries of `rows` in f64 `[rows, D]`.
pub(crate) fn queries(head: &Head<'_>, rows: &[usize]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), head.q.ncols()), |(r, d)| {
        f64::from(head.q[[rows[r], d]])
    })
}
