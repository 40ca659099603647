//! The slow form: keys chosen by sorting their f32 scores, everything else in f64.

use super::score::score;
use attention::oracle::dot;
use attention::{Form, Head};
use ndarray::{Array2, ArrayView1};

/// Top-k attention in f64 for some rows. Cost: O(rows·Nk·(D + log Nk)).
pub(super) fn form(k: usize, head: &Head<'_>, rows: &[usize]) -> Form {
    let keys = head.k.mapv(f64::from);
    let values = head.v.mapv(f64::from);
    let narrow: Vec<Vec<f32>> = head.k.outer_iter().map(|row| row.to_vec()).collect();
    let mut form = Form {
        output: Array2::zeros((rows.len(), head.v.ncols())),
        weights: None,
    };
    let mut weights = Array2::zeros((rows.len(), head.k.nrows()));
    for (r, &i) in rows.iter().enumerate() {
        let narrow_query = head.q.row(i).to_vec();
        let query = head.q.row(i).mapv(f64::from);
        let bias = |j: usize| head.bias.map_or(0.0, |bias| bias.at(i, j));
        let mut kept: Vec<(f32, usize)> = head
            .mask
            .span(i)
            .filter(|&j| head.mask.regular(i, j))
            .map(|j| (score(&narrow_query, &narrow[j], head.scale, bias(j)), j))
            .collect();
        kept.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        kept.truncate(k);
        let exact = |key: ArrayView1<'_, f64>, j: usize| {
            dot(query.view(), key) * f64::from(head.scale) + f64::from(bias(j))
        };
        let scores: Vec<(usize, f64)> = kept
            .iter()
            .map(|&(_, j)| (j, exact(keys.row(j), j)))
            .collect();
        let largest = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(s.1));
        let sum: f64 = scores.iter().map(|s| (s.1 - largest).exp()).sum();
        for (j, s) in scores {
            let weight = (s - largest).exp() / sum;
            weights[[r, j]] = weight;
            form.output.row_mut(r).scaled_add(weight, &values.row(j));
        }
    }
    form.weights = Some(weights);
    form
}
