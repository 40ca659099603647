//! The weights in f64: plain, and by no code of the kernels.

use super::rule::Rule;
use crate::form;
use ::attention::oracle::dot;
use ::attention::{Head, Problem};
use ndarray::{Array2, Axis, Ix2, Ix3};

/// Keys of a block, as the definition of the window has it.
const BLOCK: usize = 64;

/// The weights of some rows of a head `[rows, Nk]`.
pub(super) fn weights(
    rule: &Rule,
    problem: &Problem<'_>,
    head: &Head<'_>,
    rows: &[usize],
) -> Array2<f64> {
    let scale = f64::from(problem.scale());
    let (q, k) = (form::queries(head, rows), head.k.mapv(f64::from));
    let key_head = problem.geometry().key_head(head.head);
    let (y_q, y_k) = (
        y(rule, problem, key_head, &q),
        y(rule, problem, key_head, &k),
    );
    let mut weights = Array2::zeros((rows.len(), k.nrows()));
    for (r, &i) in rows.iter().enumerate() {
        let end = head.mask.span(i).end;
        let block = end.saturating_sub(1) / BLOCK;
        let near = |j: usize| j / BLOCK + rule.window > block;
        let score = |j: usize| scale * dot(q.row(r), k.row(j));
        // Weights in units of e^unit; those of far keys have the size of 1 and above.
        let scores = (0..end).map(|j| if near(j) { score(j) } else { 0.0 });
        let unit = if rule.window > 0 {
            scores.fold(f64::NEG_INFINITY, f64::max)
        } else {
            0.0
        };
        for j in 0..end {
            weights[[r, j]] = if near(j) {
                (score(j) - unit).exp()
            } else {
                let s = dot(y_q.row(r), y_k.row(j));
                if rule.normalises {
                    s * s
                } else {
                    (1.0 + scale * s + 0.5 * (scale * s).powi(2)) * (-unit).exp()
                }
            };
        }
    }
    form::normalise_rows(&mut weights, f64::from(crate::feature::map::LEAST_SUM));
    weights
}

/// y of tokens `[n, D]`.
fn y(rule: &Rule, problem: &Problem<'_>, key_head: usize, x: &Array2<f64>) -> Array2<f64> {
    let of = |name: &str| problem.tensor(name).map(|t| t.view());
    let w = of("projection").and_then(|w| w.into_dimensionality::<Ix3>().ok());
    let w = w.filter(|_| rule.dim > 0);
    let w = w.map(|w| w.index_axis(Axis(0), key_head).mapv(f64::from));
    let mut y = w.map_or_else(|| x.clone(), |w| x.dot(&w));
    if !rule.normalises {
        return y;
    }
    let affine = |name: &str| {
        let tensor = of(name).and_then(|t| t.into_dimensionality::<Ix2>().ok());
        tensor.map(|t| t.row(key_head).mapv(f64::from))
    };
    let (gamma, beta) = (affine("gamma"), affine("beta"));
    for mut row in y.outer_iter_mut() {
        let mean = row.sum() / row.len() as f64;
        row -= mean;
        let variance = row.dot(&row) / row.len() as f64;
        row /= (variance + 1e-5).sqrt();
        if let (Some(gamma), Some(beta)) = (&gamma, &beta) {
            row *= gamma;
            row += beta;
        }
    }
    y
}
