//! Softmax attention in f64: what every error is measured against.
//!
//! Computed from the same f32 inputs as the kernels, with plain loops and no tricks beyond the
//! subtraction of the row maximum. It answers all query rows or only some, so that accuracy stays
//! affordable for long histories.

use crate::attention::Form;
use crate::problem::Head;
use ndarray::{Array1, Array2, ArrayView1};

/// Exact attention of some query rows of one history and head.
#[derive(Debug, Clone, PartialEq)]
pub struct ExactRows {
    /// P `[rows, Nk]`, after dropout; exactly zero where masked or dropped.
    pub weights: Array2<f64>,
    /// O `[rows, Dv]`.
    pub output: Array2<f64>,
    /// L = logsumexp(S) `[rows]`; -inf where nothing is visible.
    pub lse: Array1<f64>,
    /// The largest |S| among visible keys, over all rows.
    pub max_abs_score: f64,
}

impl From<ExactRows> for Form {
    fn from(exact: ExactRows) -> Self {
        Self {
            output: exact.output,
            weights: Some(exact.weights),
        }
    }
}

/// Exact attention for `rows` of one head.
///
/// L is that of the weights before dropout. A row that sees no key has O = 0 and L = -inf. NaN in a visible score makes the whole row NaN.
/// Cost: O(rows·Nk·(D + Dv)) time, O(rows·Nk) memory.
#[must_use]
pub fn rows(head: &Head<'_>, rows: &[usize]) -> ExactRows {
    let (nk, dv) = (head.k.nrows(), head.v.ncols());
    let mut exact = ExactRows {
        weights: Array2::zeros((rows.len(), nk)),
        output: Array2::zeros((rows.len(), dv)),
        lse: Array1::from_elem(rows.len(), f64::NEG_INFINITY),
        max_abs_score: 0.0,
    };
    let keys = head.k.mapv(f64::from);
    let values = head.v.mapv(f64::from);
    for (r, &i) in rows.iter().enumerate() {
        let query = head.q.row(i).mapv(f64::from);
        let visible: Vec<usize> = head
            .mask
            .span(i)
            .filter(|&j| head.mask.regular(i, j))
            .collect();
        if visible.is_empty() {
            continue;
        }
        let scores: Vec<f64> = visible
            .iter()
            .map(|&j| {
                let bias = head.bias.map_or(0.0, |bias| f64::from(bias.at(i, j)));
                dot(query.view(), keys.row(j)) * f64::from(head.scale) + bias
            })
            .collect();
        // f64::max ignores NaN; the sum below carries it into the row all the same.
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exponentials: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        exact.lse[r] = max + sum.ln();
        let largest = scores.iter().fold(0.0, |m: f64, s| m.max(s.abs()));
        exact.max_abs_score = exact.max_abs_score.max(largest);
        let mut output = exact.output.row_mut(r);
        let drawn = head.dropout.map(|drop| (drop, drop.row(i)));
        for (&j, e) in visible.iter().zip(&exponentials) {
            let kept = drawn.map_or(1.0, |(drop, row)| f64::from(drop.multiplier(row, j)));
            let weight = e / sum * kept;
            exact.weights[[r, j]] = weight;
            output.scaled_add(weight, &values.row(j));
        }
    }
    exact
}

/// Dot product in f64 with four running sums, so that it is not bound by one chain of additions.
#[must_use]
pub fn dot(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    let (Some(a), Some(b)) = (a.as_slice(), b.as_slice()) else {
        return a.iter().zip(b).map(|(x, y)| x * y).sum();
    };
    let mut sums = [0.0; 4];
    let (quads_a, quads_b) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = quads_a
        .remainder()
        .iter()
        .zip(quads_b.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in quads_a.zip(quads_b) {
        for lane in 0..4 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + tail
}

/// Mean of the values a query may see `[rows, Dv]`: the answer of someone who ignores the query.
#[must_use]
pub fn mean_of_visible(head: &Head<'_>, rows: &[usize]) -> Array2<f64> {
    let mut means = Array2::zeros((rows.len(), head.v.ncols()));
    for (mut mean, &i) in means.outer_iter_mut().zip(rows) {
        let mut count = 0.0;
        for j in head.mask.span(i).filter(|&j| head.mask.regular(i, j)) {
            count += 1.0;
            mean.zip_mut_with(&head.v.row(j), |m, &v| *m += f64::from(v));
        }
        if count > 0.0 {
            mean /= count;
        }
    }
    means
}
