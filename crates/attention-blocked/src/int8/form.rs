//! int8 attention in f64: exact on the rounded inputs.

use super::quantize::{Int8, mean_of_seen};
use crate::bf16;
use crate::narrow::wide::Rounding;
use crate::narrow::{ROWS, exact_on};
use attention::{Form, Head};
use ndarray::{Array2, ArrayView2, Axis, concatenate};

/// Softmax attention in f64 on queries and keys rounded to eight bits a row and values rounded to bf16,
/// for rows in ascending order; what the kernel rounds beyond that, its weights, is its own error.
pub(super) fn rows(head: &Head<'_>, rows: &[usize]) -> Form {
    let v = head.v.mapv(bf16::round);
    let q = rounded(head.q, &[]);
    let blocks = rows.chunk_by(|a, b| a / ROWS == b / ROWS).map(|rows| {
        // Keys lose the mean of those that the whole block of queries sees, as in the kernel.
        let start = rows[0] / ROWS * ROWS;
        let block = start..(start + ROWS).min(head.q.nrows());
        let mut mean = vec![0.0; head.k.ncols()];
        let smoothed = mean_of_seen(head, block, &mut mean);
        let k = rounded(head.k, if smoothed { &mean } else { &[] });
        let exact = exact_on(head, [&q, &k, &v], rows);
        (exact.output, exact.weights)
    });
    let (outputs, weights): (Vec<_>, Vec<_>) = blocks.unzip();
    let together = |parts: &[Array2<f64>], width: usize| {
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        // Only an empty list cannot be joined.
        concatenate(Axis(0), &views).unwrap_or_else(|_| Array2::zeros((0, width)))
    };
    Form {
        output: together(&outputs, head.v.ncols()),
        weights: Some(together(&weights, head.k.nrows())),
    }
}

/// Rows less `offset` as the numbers that their levels stand for.
fn rounded(x: ArrayView2<'_, f32>, offset: &[f32]) -> Array2<f32> {
    let mut out = Array2::zeros(x.raw_dim());
    for (from, mut to) in x.outer_iter().zip(out.outer_iter_mut()) {
        let mut levels = vec![0.0; from.len()];
        let scale = Int8::row(&from.to_vec(), offset, &mut levels);
        for (to, level) in to.iter_mut().zip(levels) {
            *to = level * scale;
        }
    }
    out
}
