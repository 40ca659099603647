//! Gradients in f64, and how far a kernel's are from them.
//!
//! The loss whose gradients are compared has a dO that is zero outside the oracle's sample of query rows. A
//! kernel does not know, and computes all of them; but each row of dK and dV is then a sum over the sampled rows
//! alone, so that the truth of every entry costs O(rows·Nk·(D + Dv)), as much as the oracle's outputs.

use crate::record::GradientsRow;
use attention::accuracy::RowSample;
use attention::{Gradients, Problem, Workers, oracle};
use ndarray::{Array2, Array4, ArrayView2, ArrayView4, ArrayViewMut2, Axis};
use rand_distr::{Distribution, StandardNormal};

/// dO of the timed calls: normal entries in the shape of O.
pub(super) fn output_gradient(
    seed: u64,
    (b, h, n, dv): (usize, usize, usize, usize),
) -> Array4<f32> {
    let mut rng = crate::hash::stream(seed, "output gradient", &[b, h, n, dv]);
    Array4::from_shape_simple_fn((b, h, n, dv), || StandardNormal.sample(&mut rng))
}

/// dQ, dK and dV of softmax attention in f64.
pub(super) struct Truth {
    /// dO, zero outside the sampled rows.
    pub(super) d_o: Array4<f32>,
    dq: Array4<f64>,
    dk: Array4<f64>,
    dv: Array4<f64>,
}

/// What the sampled rows of one head add.
struct Part {
    dq: Array2<f64>,
    dk: Array2<f64>,
    dv: Array2<f64>,
}

impl Truth {
    /// The truth under the problem's mask for the sampled rows of `dense`, a dO.
    pub(super) fn compute(
        problem: &Problem<'_>,
        sample: &RowSample,
        dense: ArrayView4<'_, f32>,
        workers: &Workers,
    ) -> Self {
        let geometry = problem.geometry();
        let shape = geometry.shape();
        let lead = dense.len_of(Axis(0));
        let slot = |sequence: usize| if geometry.is_jagged() { 0 } else { sequence };
        let mut truth = Self {
            d_o: Array4::zeros(dense.dim()),
            dq: Array4::zeros((lead, shape.h, shape.nq, shape.d)),
            dk: Array4::zeros((lead, shape.hkv, shape.nk, shape.d)),
            dv: Array4::zeros((lead, shape.hkv, shape.nk, shape.dv)),
        };
        for (sequence, head, rows) in sample.heads() {
            let start = geometry.query_range(*sequence).start;
            let from = of_head(dense, slot(*sequence), *head);
            let mut to = of_head_mut(&mut truth.d_o, slot(*sequence), *head);
            for row in rows {
                to.row_mut(start + row).assign(&from.row(start + row));
            }
        }
        let tasks: Vec<_> = sample.heads().iter().collect();
        let d_o = truth.d_o.view();
        let parts = workers.map(tasks, |(sequence, head, rows)| {
            let d_o = of_head(d_o, slot(*sequence), *head);
            part(problem, *sequence, *head, rows, d_o)
        });
        for ((sequence, head, rows), part) in sample.heads().iter().zip(parts) {
            let (b, key_head) = (slot(*sequence), geometry.key_head(*head));
            let start = geometry.query_range(*sequence).start;
            let mut dq = of_head_mut(&mut truth.dq, b, *head);
            for (row, own) in rows.iter().zip(part.dq.outer_iter()) {
                dq.row_mut(start + row).assign(&own);
            }
            // Query heads that share a key head add up.
            let keys = geometry.key_range(*sequence);
            for (all, own) in [(&mut truth.dk, &part.dk), (&mut truth.dv, &part.dv)] {
                let all = of_head_mut(all, b, key_head);
                let mut all = all.slice_axis_move(Axis(0), keys.clone().into());
                all += own;
            }
        }
        truth
    }

    /// What a kernel without error would give.
    #[cfg(test)]
    pub(super) fn in_f32(&self) -> Gradients {
        let rounded = |x: &Array4<f64>| x.mapv(|x| x as f32);
        Gradients {
            dq: rounded(&self.dq),
            dk: rounded(&self.dk),
            dv: rounded(&self.dv),
            dbias: None,
            tensors: Default::default(),
        }
    }

    /// Relative Frobenius errors of a kernel's gradients for [`d_o`](Self::d_o).
    pub(super) fn judge(&self, got: &Gradients, budget: f64) -> GradientsRow {
        let (dq, dk, dv) = (
            relative(&got.dq, &self.dq),
            relative(&got.dk, &self.dk),
            relative(&got.dv, &self.dv),
        );
        let passed = [dq, dk, dv].iter().all(|e| *e <= budget);
        let [dq, dk, dv] = [dq, dk, dv].map(super::gate::finite);
        GradientsRow {
            dq,
            dk,
            dv,
            budget,
            passed,
        }
    }
}

fn of_head(tensor: ArrayView4<'_, f32>, b: usize, h: usize) -> ArrayView2<'_, f32> {
    tensor
        .index_axis_move(Axis(0), b)
        .index_axis_move(Axis(0), h)
}

fn of_head_mut<A>(tensor: &mut Array4<A>, b: usize, h: usize) -> ArrayViewMut2<'_, A> {
    tensor
        .index_axis_mut(Axis(0), b)
        .index_axis_move(Axis(0), h)
}

/// dV = Pᵀ·dO, dS = P∘(dO·Vᵀ - Σ O∘dO), dQ = scale·dS·K, dK = scale·dSᵀ·Q, of some rows of a head;
/// `d_o` is that of all its rows.
fn part(
    problem: &Problem<'_>,
    sequence: usize,
    head: usize,
    rows: &[usize],
    d_o: ArrayView2<'_, f32>,
) -> Part {
    let view = problem.head(sequence, head);
    let exact = oracle::rows(&view, rows);
    let [q, k, v] = [view.q, view.k, view.v].map(|x| x.mapv(f64::from));
    let mut part = Part {
        dq: Array2::zeros((rows.len(), q.ncols())),
        dk: Array2::zeros(k.dim()),
        dv: Array2::zeros(v.dim()),
    };
    let start = problem.geometry().query_range(sequence).start;
    let scale = f64::from(view.scale);
    for (r, &i) in rows.iter().enumerate() {
        let d_o = d_o.row(start + i).mapv(f64::from);
        let mean = oracle::dot(exact.output.row(r), d_o.view());
        for (j, &p) in exact.weights.row(r).iter().enumerate() {
            if p == 0.0 {
                continue;
            }
            let ds = scale * p * (oracle::dot(v.row(j), d_o.view()) - mean);
            part.dq.row_mut(r).scaled_add(ds, &k.row(j));
            part.dk.row_mut(j).scaled_add(ds, &q.row(i));
            part.dv.row_mut(j).scaled_add(p, &d_o);
        }
    }
    part
}

/// ‖got - truth‖/‖truth‖, or ‖got‖ where the truth is zero, as where each query sees one key.
fn relative(got: &Array4<f32>, truth: &Array4<f64>) -> f64 {
    if got.dim() != truth.dim() {
        return f64::INFINITY;
    }
    let (mut error, mut norm) = (0.0, 0.0);
    for (g, t) in got.iter().zip(truth) {
        error += (f64::from(*g) - t).powi(2);
        norm += t * t;
    }
    if norm > 0.0 {
        (error / norm).sqrt()
    } else {
        error.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention::mask::{Alignment, Mask};

    /// Σ dO∘O in f64 over all rows.
    fn loss(problem: &Problem<'_>, d_o: &Array4<f32>) -> f64 {
        problem
            .heads()
            .map(|head| {
                let rows: Vec<usize> = (0..head.q.nrows()).collect();
                let o = oracle::rows(&head, &rows).output;
                let d_o = of_head(d_o.view(), head.sequence, head.head);
                o.iter()
                    .zip(d_o)
                    .map(|(o, d)| o * f64::from(*d))
                    .sum::<f64>()
            })
            .sum()
    }

    #[test]
    fn the_truth_is_the_slope_of_the_loss_and_shared_key_heads_add_up() {
        const STEP: f32 = 1.0 / 128.0;
        let normal = |h, n, d, seed| output_gradient(seed, (1, h, n, d));
        let tensors = [normal(4, 7, 3, 1), normal(2, 9, 3, 2), normal(2, 9, 5, 3)];
        let with = |tensors: &[Array4<f32>; 3], f: &mut dyn FnMut(&Problem<'_>)| {
            let [q, k, v] = tensors;
            let problem = Problem::new(q.view(), k.view(), v.view()).unwrap();
            f(&problem
                .with_mask(Mask::causal(Alignment::BottomRight))
                .unwrap());
        };
        let mut truth = None;
        with(&tensors, &mut |problem| {
            let sample = RowSample::seeded(problem.geometry(), 11, 5);
            let dense = normal(4, 7, 5, 4);
            let workers = Workers::serial();
            truth = Some(Truth::compute(problem, &sample, dense.view(), &workers));
        });
        let truth = truth.unwrap();
        let reached = truth.d_o.iter().filter(|x| **x != 0.0).count();
        assert_eq!(reached, 11 * 5);
        for (which, gradient) in [&truth.dq, &truth.dk, &truth.dv].into_iter().enumerate() {
            for (index, slope) in gradient.indexed_iter() {
                let at = |step: f32| {
                    let mut moved = tensors.clone();
                    moved[which][index] += step;
                    let mut sum = 0.0;
                    with(&moved, &mut |problem| sum = loss(problem, &truth.d_o));
                    sum
                };
                let difference = (at(STEP) - at(-STEP)) / f64::from(2.0 * STEP);
                assert!(
                    (slope - difference).abs() < 2e-4 * slope.abs().max(1.0),
                    "{which} {index:?}: {slope} {difference}"
                );
            }
        }
    }

    #[test]
    fn a_wrong_or_unwritten_gradient_fails() {
        let x = output_gradient(1, (1, 1, 6, 4));
        let problem = Problem::new(x.view(), x.view(), x.view()).unwrap();
        let sample = RowSample::all(problem.geometry());
        let truth = Truth::compute(&problem, &sample, x.view(), &Workers::serial());
        let mut got = truth.in_f32();
        assert!(truth.judge(&got, 1e-6).passed);
        got.dk *= 1.0 + 1e-4;
        let row = truth.judge(&got, 1e-6);
        assert!(!row.passed && (row.dk - 1e-4).abs() < 1e-6 && row.dq < 1e-6);
        got.dk.fill(f32::NAN);
        assert!(!truth.judge(&got, 1e-6).passed);
    }
}
