//! The definition in f64, pair by pair.

use super::Unit;
use attention::{Form, Problem};
use ndarray::Array2;

/// O and weights of some query rows of one history and head.
pub(crate) fn form(
    unit: &impl Unit,
    problem: &Problem<'_>,
    sequence: usize,
    head: usize,
    rows: &[usize],
) -> Form {
    let head = problem.head(sequence, head);
    let (keys, values) = (head.k.mapv(f64::from), head.v.mapv(f64::from));
    let mut output = Array2::zeros((rows.len(), values.ncols()));
    let mut weights = Array2::zeros((rows.len(), keys.nrows()));
    for (r, &i) in rows.iter().enumerate() {
        let query = head.q.row(i).mapv(f64::from);
        let visible: Vec<usize> = head
            .mask
            .span(i)
            .filter(|&j| head.mask.regular(i, j))
            .collect();
        let scores = unit.scores_f64(query.view(), keys.view());
        let mut scores: Vec<f64> = visible.iter().map(|&j| scores[j]).collect();
        if unit.softmax() {
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            scores.iter_mut().for_each(|s| *s = (*s - max).exp());
            let sum: f64 = scores.iter().sum();
            scores.iter_mut().for_each(|s| *s /= sum);
        }
        for (&j, score) in visible.iter().zip(scores) {
            let kept = head
                .dropout
                .map_or(1.0, |drop| f64::from(drop.multiplier(drop.row(i), j)));
            weights[[r, j]] = score * kept;
            output.row_mut(r).scaled_add(score * kept, &values.row(j));
        }
    }
    Form {
        output,
        weights: Some(weights),
    }
}
