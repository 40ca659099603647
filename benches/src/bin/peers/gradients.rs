//! Gradients in f64, for some rows of some heads.

use crate::gate::Rows;
use attention::{Head, Problem, Workers, oracle};
use ndarray::{Array2, ArrayView2, ArrayView4, s};
use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Queries and keys sampled in a head.
const ROWS: usize = 64;

/// Query rows a task.
const CHUNK: usize = 64;

/// The part of one chunk of queries in the sampled rows of dQ, dK and dV.
struct Part {
    dq: Vec<(usize, Vec<f64>)>,
    dk: Array2<f64>,
    dv: Array2<f64>,
}

/// dQ, dK and dV of sampled rows in two heads, one where they are long.
///
/// A row of dK takes every query of its head: O(Nq·Nk·(D + Dv)) a head. Heads are not grouped.
pub(crate) fn sampled(
    problem: &Problem<'_>,
    d_o: ArrayView4<'_, f32>,
    seed: u64,
    workers: &Workers,
) -> [Vec<Rows>; 3] {
    let shape = problem.shape();
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x6772_6164);
    let heads = if shape.nq >= 2048 { 1 } else { 2 };
    let mut all = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..heads {
        let (sequence, h) = (rng.random_range(0..shape.b), rng.random_range(0..shape.h));
        let mut draw = |n: usize| {
            let mut rows = index::sample(&mut rng, n, ROWS.min(n)).into_vec();
            rows.sort_unstable();
            rows
        };
        let (queries, keys) = (draw(shape.nq), draw(shape.nk));
        let head = problem.head(sequence, h);
        let d_o = d_o.slice_move(s![sequence, h, .., ..]).mapv(f64::from);
        let chunks = (0..shape.nq).step_by(CHUNK).collect();
        let parts = workers.map(chunks, |start: usize| {
            let rows: Vec<usize> = (start..(start + CHUNK).min(shape.nq)).collect();
            differentiate(&head, d_o.view(), &rows, &queries, &keys)
        });
        let zeros = |columns: usize| Array2::zeros((keys.len(), columns));
        let (mut dk, mut dv) = (zeros(shape.d), zeros(shape.dv));
        let mut dq = Array2::zeros((queries.len(), shape.d));
        for part in parts {
            dk += &part.dk;
            dv += &part.dv;
            for (row, values) in part.dq {
                let slot = queries.binary_search(&row).unwrap_or(0);
                dq.row_mut(slot).assign(&ndarray::Array1::from(values));
            }
        }
        let rows = |rows: &[usize], values| Rows {
            sequence,
            head: h,
            rows: rows.to_vec(),
            values,
        };
        all[0].push(rows(&queries, dq));
        all[1].push(rows(&keys, dk));
        all[2].push(rows(&keys, dv));
    }
    all
}

/// dS = P∘(dP - δ) with dP = dO·Vᵀ and δ = dO·O; then dQ = scale·dS·K, dK = scale·dSᵀ·Q, dV = Pᵀ·dO.
fn differentiate(
    head: &Head<'_>,
    d_o: ArrayView2<'_, f64>,
    rows: &[usize],
    queries: &[usize],
    keys: &[usize],
) -> Part {
    let exact = oracle::rows(head, rows);
    let scale = f64::from(head.scale);
    let wide = |x: ndarray::ArrayView1<'_, f32>| x.mapv(f64::from);
    let mut part = Part {
        dq: Vec::new(),
        dk: Array2::zeros((keys.len(), head.k.ncols())),
        dv: Array2::zeros((keys.len(), head.v.ncols())),
    };
    for (r, &i) in rows.iter().enumerate() {
        let d_o = d_o.row(i);
        let delta = d_o.dot(&exact.output.row(r));
        let d_s = |j: usize| exact.weights[[r, j]] * (d_o.dot(&wide(head.v.row(j))) - delta);
        let query = wide(head.q.row(i));
        for (slot, &j) in keys.iter().enumerate() {
            let weight = exact.weights[[r, j]];
            if weight != 0.0 {
                part.dv.row_mut(slot).scaled_add(weight, &d_o);
                part.dk.row_mut(slot).scaled_add(scale * d_s(j), &query);
            }
        }
        if queries.binary_search(&i).is_ok() {
            let mut dq = ndarray::Array1::zeros(head.q.ncols());
            for j in (0..head.k.nrows()).filter(|&j| exact.weights[[r, j]] != 0.0) {
                dq.scaled_add(scale * d_s(j), &wide(head.k.row(j)));
            }
            part.dq.push((i, dq.to_vec()));
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention::mask::{Alignment, Mask};
    use ndarray::Array4;

    #[test]
    fn they_are_the_slope_of_the_oracle() {
        let tensor = |salt: f32| {
            Array4::from_shape_fn((1, 2, 7, 3), |(_, h, i, d)| {
                (salt + (h * 31 + i * 7 + d) as f32).sin()
            })
        };
        let (q, k, v, d_o) = (tensor(0.1), tensor(1.7), tensor(2.9), tensor(4.2));
        // loss = Σ dO∘O; the head that was sampled is in the answer.
        let loss = |q: &Array4<f32>, k: &Array4<f32>, v: &Array4<f32>, h: usize| {
            let problem = Problem::new(q.view(), k.view(), v.view())
                .and_then(|p| p.with_mask(Mask::causal(Alignment::TopLeft)))
                .unwrap();
            let rows: Vec<usize> = (0..7).collect();
            let o = oracle::rows(&problem.head(0, h), &rows).output;
            (o * d_o.slice(s![0, h, .., ..]).mapv(f64::from)).sum()
        };
        let problem = Problem::new(q.view(), k.view(), v.view())
            .and_then(|p| p.with_mask(Mask::causal(Alignment::TopLeft)))
            .unwrap();
        let found = sampled(&problem, d_o.view(), 3, &Workers::serial());
        for (which, rows) in found.iter().enumerate() {
            let Rows {
                head, rows, values, ..
            } = &rows[0];
            for (r, &row) in rows.iter().enumerate() {
                for column in 0..3 {
                    let moved = |step: f32| {
                        let mut tensors = [q.clone(), k.clone(), v.clone()];
                        tensors[which][[0, *head, row, column]] += step;
                        loss(&tensors[0], &tensors[1], &tensors[2], *head)
                    };
                    let step = 1.0 / 128.0;
                    let slope = (moved(step) - moved(-step)) / f64::from(2.0 * step);
                    assert!(
                        (slope - values[[r, column]]).abs() < 1e-4,
                        "{which} {row} {column}"
                    );
                }
            }
        }
    }
}
