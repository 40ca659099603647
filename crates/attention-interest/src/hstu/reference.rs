//! The definition in f64, pair by pair.

use super::{Hstu, positions};
use attention::oracle::dot;
use attention::{Form, Problem};
use ndarray::Array2;

/// O and weights of some query rows of one history and head.
pub(super) fn form(
    hstu: &Hstu,
    problem: &Problem<'_>,
    sequence: usize,
    head: usize,
    rows: &[usize],
) -> Form {
    let head = problem.head(sequence, head);
    let bias = hstu.bias(problem);
    let (queries, keys, values) = (
        head.q.mapv(f64::from),
        head.k.mapv(f64::from),
        head.v.mapv(f64::from),
    );
    let mut form = Form {
        output: Array2::zeros((rows.len(), values.ncols())),
        weights: None,
    };
    let mut weights = Array2::zeros((rows.len(), keys.nrows()));
    for (r, &i) in rows.iter().enumerate() {
        let share = hstu.share(&head.mask, i);
        let mut output = form.output.row_mut(r);
        for j in head.mask.span(i).filter(|&j| head.mask.regular(i, j)) {
            let rab = bias.map_or(0.0, |table| f64::from(table[positions::slot(table, i, j)]));
            let score = f64::from(head.scale) * dot(queries.row(i), keys.row(j)) + rab;
            let kept = head
                .dropout
                .map_or(1.0, |drop| f64::from(drop.multiplier(drop.row(i), j)));
            let weight = score / (1.0 + (-score).exp()) * share * kept;
            weights[[r, j]] = weight;
            output.scaled_add(weight, &values.row(j));
        }
    }
    form.weights = Some(weights);
    form
}
