//! FAVOR+: positive orthogonal random features of the softmax kernel.

use crate::engine::{CHUNK, Engine, FeatureMap, Normaliser};
use crate::matmul::{LANES, Rows, add_product};
use crate::projection::Projection;
use crate::{form, support};
use attention::oracle::dot;
use attention::variant::{Family, Kind, Parameter, Value, Variant};
use attention::{
    Attention, Capabilities, Cost, Form, Geometry, Head, OutputMut, Problem, Result, Scratch,
    Workers,
};
use ndarray::{Array2, ArrayView1, Axis};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const NAME: &str = "favor";

/// Attention with φ(x)_f = exp(ω_f·x - ‖x‖²/2), x = √scale·q (or k): the mean over f of
/// φ(q)_f·φ(k)_f estimates exp(scale·q·k) without bias.
///
/// `features` is m; the ω are block-orthogonal, drawn from `seed`, and the same for all heads. A
/// negative scale changes the sign of x for queries. Finite for any finite input: each feature is
/// summed in units of the largest value that it has had.
///
/// Source: Choromanski et al., Rethinking Attention with Performers, ICLR 2021, lemma 1 and
/// section 2.4. Cost: O(N·m·(D + Dv)) time, state m·(Dv + 2).
pub static VARIANT: Variant = Variant {
    name: NAME,
    family: Family::Linear,
    summary: "FAVOR+: softmax estimated without bias by positive orthogonal random features",
    time: "O(N·m·D)",
    source: "Choromanski et al., Rethinking Attention with Performers, ICLR 2021, lemma 1",
    parameters: &[
        Parameter {
            name: "features",
            kind: Kind::Integer { min: 8, max: 4096 },
            default: Value::Integer(256),
            summary: "random features m: the error falls as 1/√m",
        },
        Parameter {
            name: "seed",
            kind: Kind::Integer {
                min: 0,
                max: i64::MAX,
            },
            default: Value::Integer(0),
            summary: "seed of the random projection",
        },
    ],
    build: |parameters| {
        Ok(Box::new(Favor {
            features: parameters.integer("features"),
            seed: parameters.integer("seed") as u64,
            projections: Mutex::default(),
        }))
    },
};

struct Favor {
    features: usize,
    seed: u64,
    /// By head dimension D, which is known only when a problem comes.
    projections: Mutex<BTreeMap<usize, Arc<Projection>>>,
}

impl Favor {
    fn projection(&self, d: usize) -> Arc<Projection> {
        let mut drawn = self
            .projections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let projection = drawn
            .entry(d)
            .or_insert_with(|| Arc::new(Projection::draw(self.features, d, self.seed, LANES)));
        Arc::clone(projection)
    }

    fn map(&self, geometry: &Geometry, scale: f32) -> Features {
        let d = geometry.shape().d;
        Features {
            projection: self.projection(d),
            width: self.features,
            d,
            scale,
        }
    }
}

struct Features {
    projection: Arc<Projection>,
    width: usize,
    d: usize,
    scale: f32,
}

impl FeatureMap for Features {
    const LOGARITHMIC: bool = true;

    fn width(&self) -> usize {
        self.width
    }

    fn flops(&self) -> u64 {
        (2 * self.width * self.d + 4 * self.width) as u64
    }

    fn keys(&self, transposed: &[f32], n: usize, out: &mut [f32]) {
        let root = self.scale.abs().sqrt();
        let half = 0.5 * self.scale.abs();
        let mut squares = [0.0_f32; CHUNK];
        for row in transposed.chunks_exact(CHUNK) {
            for (sum, x) in squares.iter_mut().zip(row) {
                *sum += x * x;
            }
        }
        out.fill(0.0);
        let omega = Rows {
            data: &self.projection.rows,
            stride: self.d,
        };
        let keys = Rows {
            data: transposed,
            stride: CHUNK,
        };
        let sides = (self.width, self.d, n.next_multiple_of(LANES));
        add_product(omega, keys, (out, CHUNK), sides);
        for row in out.chunks_exact_mut(CHUNK) {
            for (phi, sum) in row.iter_mut().zip(&squares) {
                *phi = root * *phi - half * sum;
            }
        }
    }

    fn queries(&self, q: &[f32], n: usize, out: &mut [f32], stride: usize) {
        let root = self.scale.abs().sqrt().copysign(self.scale);
        let out = &mut out[..n * stride];
        out.fill(0.0);
        let queries = Rows {
            data: q,
            stride: self.d,
        };
        let omega = Rows {
            data: &self.projection.columns,
            stride: self.projection.stride,
        };
        add_product(queries, omega, (out, stride), (n, self.d, stride));
        out.iter_mut().for_each(|x| *x *= root);
    }
}

impl Attention for Favor {
    fn capabilities(&self) -> Capabilities {
        support::linear(NAME)
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities().admit(problem, &out)?;
        let engine = Engine {
            map: &self.map(problem.geometry(), problem.scale()),
            normaliser: Normaliser::RowSum,
            factor: 1.0,
        };
        engine.forward(problem, out, workers, scratch);
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        Engine::scratch_bytes(&self.map(geometry, 1.0), geometry, threads)
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        Engine::cost(&self.map(geometry, 1.0), geometry, threads)
    }

    fn form_f64(
        &self,
        problem: &Problem<'_>,
        sequence: usize,
        head: usize,
        rows: &[usize],
    ) -> Result<Form> {
        self.capabilities().admits_geometry(problem.geometry())?;
        let head = problem.head(sequence, head);
        let mut weights = self.log_weights(&head, rows);
        for (mut row, &i) in weights.outer_iter_mut().zip(rows) {
            softmax(&mut row, head.mask.span(i).end);
        }
        Ok(form::output(&head, rows, weights))
    }

    fn error_budget(&self, max_abs_score: f64) -> f64 {
        (64.0 * f64::from(f32::EPSILON) * max_abs_score).max(2e-5)
    }
}

/// Keys whose features are held at a time.
const KEYS: usize = 1024;

/// Below this a sum of products may have lost terms to underflow.
const SAFE: f64 = 1e-200;

impl Favor {
    /// ln Σ_f φ(q_i)_f·φ(k_j)_f `[rows, Nk]`, up to a constant.
    fn log_weights(&self, head: &Head<'_>, rows: &[usize]) -> Array2<f64> {
        let (m, d) = (self.features, head.q.ncols());
        let projection = self.projection(d);
        let omega = Array2::from_shape_fn((m, d), |(f, i)| f64::from(projection.rows[f * d + i]));
        let scale = f64::from(head.scale);
        let (root_k, root_q) = (scale.abs().sqrt(), scale.abs().sqrt().copysign(scale));
        let log_features = |x: ArrayView1<'_, f64>, root: f64| -> (Vec<f64>, f64) {
            let half = 0.5 * root * root * dot(x, x);
            let logs: Vec<f64> = omega
                .outer_iter()
                .map(|omega| root * dot(omega, x) - half)
                .collect();
            let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (logs, largest)
        };
        let (log_q, top_q) = stack(form::queries(head, rows), m, |x| log_features(x, root_q));
        let phi_q = powers(&log_q, &top_q);
        let mut weights = Array2::from_elem((rows.len(), head.k.nrows()), f64::NEG_INFINITY);
        for start in (0..head.k.nrows()).step_by(KEYS) {
            let end = head.k.nrows().min(start + KEYS);
            let block = head.k.split_at(Axis(0), end).0.split_at(Axis(0), start).1;
            let keys = block.mapv(f64::from);
            let (log_k, top_k) = stack(keys, m, |x| log_features(x, root_k));
            let phi_k = powers(&log_k, &top_k);
            for (r, &i) in rows.iter().enumerate() {
                for j in start..end.min(head.mask.span(i).end).max(start) {
                    let product = dot(phi_q.row(r), phi_k.row(j - start));
                    weights[[r, j]] = if product < SAFE {
                        log_of_sum(log_q.row(r), log_k.row(j - start))
                    } else {
                        product.ln() + top_q[r] + top_k[j - start]
                    };
                }
            }
        }
        weights
    }
}

/// ln φ of each row of `x` `[n, m]`, and the largest of each.
fn stack(
    x: Array2<f64>,
    m: usize,
    features: impl Fn(ArrayView1<'_, f64>) -> (Vec<f64>, f64),
) -> (Array2<f64>, Vec<f64>) {
    let mut logs = Array2::zeros((x.nrows(), m));
    let mut tops = Vec::with_capacity(x.nrows());
    for (mut row, x) in logs.outer_iter_mut().zip(x.outer_iter()) {
        let (values, top) = features(x);
        row.iter_mut().zip(values).for_each(|(slot, v)| *slot = v);
        tops.push(top);
    }
    (logs, tops)
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
