//! Gradients in f64, for some rows of some heads.

use crate::elu_gradients;
use crate::gate::Rows;
use attention::{Head, Problem, Workers, oracle};
use ndarray::{Array2, Array4, ArrayView2, Axis, s};
use peers::SOFTMAX;
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
/// A row of dK takes every query of its head: O(Nq·Nk·(D + Dv)) a head under softmax. Heads are not
/// grouped. The error says which attention has no gradients here.
pub(crate) fn sampled(
    attention: &str,
    problem: &Problem<'_>,
    d_o: &Array4<f32>,
    seed: u64,
    workers: &Workers,
) -> Result<[Vec<Rows>; 3], String> {
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
        let d_o = d_o.slice(s![sequence, h, .., ..]).mapv(f64::from);
        let [dq, dk, dv] = match attention {
            SOFTMAX => softmax(&head, d_o.view(), &queries, &keys, workers),
            "linear-elu" => {
                let [dq, dk, dv] = elu_gradients::of(&head, d_o.view());
                let pick = |x: &Array2<f64>, rows: &[usize]| x.select(Axis(0), rows);
                [pick(&dq, &queries), pick(&dk, &keys), pick(&dv, &keys)]
            }
            other => return Err(format!("gradients of {other} are not known in f64")),
        };
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
    Ok(all)
}

/// Of softmax attention: dQ of the queries, dK and dV of the keys.
fn softmax(
    head: &Head<'_>,
    d_o: ArrayView2<'_, f64>,
    queries: &[usize],
    keys: &[usize],
    workers: &Workers,
) -> [Array2<f64>; 3] {
    let nq = head.q.nrows();
    let chunks = (0..nq).step_by(CHUNK).collect();
    let parts = workers.map(chunks, |start: usize| {
        let rows: Vec<usize> = (start..(start + CHUNK).min(nq)).collect();
        differentiate(head, d_o, &rows, queries, keys)
    });
    let zeros = |columns: usize| Array2::zeros((keys.len(), columns));
    let (mut dk, mut dv) = (zeros(head.k.ncols()), zeros(head.v.ncols()));
    let mut dq = Array2::zeros((queries.len(), head.q.ncols()));
    for part in parts {
        dk += &part.dk;
        dv += &part.dv;
        for (row, values) in part.dq {
            let slot = queries.binary_search(&row).unwrap_or(0);
            dq.row_mut(slot).assign(&ndarray::Array1::from(values));
        }
    }
    [dq, dk, dv]
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
    fn they_are_the_slope_of_what_they_are_gradients_of() {
        slopes(SOFTMAX, &|problem, h, rows| {
            oracle::rows(&problem.head(0, h), rows).output
        });
        let elu = attention_variants::Configured::new("linear-elu", []);
        let elu = elu.and_then(|elu| elu.build()).unwrap();
        slopes("linear-elu", &|problem, h, rows| {
            elu.form_f64(problem, 0, h, rows).unwrap().output
        });
    }

    type Exact<'e> = &'e dyn Fn(&Problem<'_>, usize, &[usize]) -> Array2<f64>;

    fn slopes(attention: &str, exact: Exact<'_>) {
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
            let o = exact(&problem, h, &rows);
            (o * d_o.slice(s![0, h, .., ..]).mapv(f64::from)).sum()
        };
        let problem = Problem::new(q.view(), k.view(), v.view())
            .and_then(|p| p.with_mask(Mask::causal(Alignment::TopLeft)))
            .unwrap();
        let found = sampled(attention, &problem, &d_o, 3, &Workers::serial()).unwrap();
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
