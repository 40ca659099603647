//! The weights of FAVOR+ in f64, by logarithms, so that no size of Q and K loses them.

use super::Drawn;
use crate::form;
use attention::Head;
use attention::oracle::dot;
use ndarray::{Array2, ArrayView1, Axis};

/// Keys whose features are held at a time.
const KEYS: usize = 1024;

/// Below this a sum of products may have lost terms to underflow.
const SAFE: f64 = 1e-200;

/// φ(q_i)·φ(k_j) over their sum `[rows, Nk]`, for m features; zero where masked.
///
/// Cost: O(rows·Nk·m) time, O(rows·Nk + m) memory.
pub(super) fn weights(head: &Head<'_>, rows: &[usize], drawn: &Drawn, m: usize) -> Array2<f64> {
    let d = head.q.ncols();
    let omega = Array2::from_shape_fn((m, d), |(f, i)| f64::from(drawn.rows[f * d + i]));
    let scale = f64::from(head.scale);
    let root = scale.abs().sqrt();
    let log_features = |x: Array2<f64>, factor: f64| -> (Array2<f64>, Vec<f64>) {
        let mut logs = Array2::zeros((x.nrows(), m));
        for (mut row, x) in logs.outer_iter_mut().zip(x.outer_iter()) {
            let half = 0.5 * root * root * dot(x, x);
            let features = omega.outer_iter().zip(&drawn.shifts);
            for (log, (omega, shift)) in row.iter_mut().zip(features) {
                *log = shift + factor * drawn.stretch * dot(omega, x) - half;
            }
        }
        let tops = logs.outer_iter().map(largest).collect();
        (logs, tops)
    };
    let (log_q, top_q) = log_features(form::queries(head, rows), root.copysign(scale));
    let phi_q = powers(&log_q, &top_q);
    let mut weights = Array2::from_elem((rows.len(), head.k.nrows()), f64::NEG_INFINITY);
    for start in (0..head.k.nrows()).step_by(KEYS) {
        let end = head.k.nrows().min(start + KEYS);
        let keys = head.k.slice_axis(Axis(0), (start..end).into());
        let (log_k, top_k) = log_features(keys.mapv(f64::from), root);
        let phi_k = powers(&log_k, &top_k);
        for (r, &i) in rows.iter().enumerate() {
            for j in start..end.min(head.mask.span(i).end) {
                let product = dot(phi_q.row(r), phi_k.row(j - start));
                weights[[r, j]] = if product < SAFE {
                    log_of_sum(log_q.row(r), log_k.row(j - start))
                } else {
                    product.ln() + top_q[r] + top_k[j - start]
                };
            }
        }
    }
    for (mut row, &i) in weights.outer_iter_mut().zip(rows) {
        softmax(&mut row, head.mask.span(i).end);
    }
    weights
}

/// NaN is passed over; it comes back with the sums.
fn largest(row: ArrayView1<'_, f64>) -> f64 {
    row.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// φ in units of each row's largest.
fn powers(logs: &Array2<f64>, tops: &[f64]) -> Array2<f64> {
    let mut phi = logs.clone();
    for (mut row, top) in phi.outer_iter_mut().zip(tops) {
        row.mapv_inplace(|x| (x - top).exp());
    }
    phi
}

fn log_of_sum(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    let terms = || a.iter().zip(b).map(|(x, y)| x + y);
    let largest = terms().fold(f64::NEG_INFINITY, f64::max);
    largest + terms().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// Softmax of the first `end` entries; the rest becomes 0.
fn softmax(row: &mut ndarray::ArrayViewMut1<'_, f64>, end: usize) {
    let seen = || 0..end;
    let largest = seen().fold(f64::NEG_INFINITY, |m, j| m.max(row[j]));
    for j in 0..row.len() {
        row[j] = if j < end {
            (row[j] - largest).exp()
        } else {
            0.0
        };
    }
    let sum: f64 = seen().map(|j| row[j]).sum();
    seen().for_each(|j| row[j] /= sum);
}
