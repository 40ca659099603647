//! Nyströmformer: attention to landmarks, corrected by the pseudo-inverse of that between landmarks.

mod backward;
mod forward;
mod gather;
mod landmarks;
mod middle;

use super::form::{first, for_all_keys, softmax};
use super::inverse::Inverse;
use super::pieces::{keys, longest};
use super::pool::PoolSizes;
use super::summary::Sizes;
use super::{ISA, capabilities, memory};
use crate::form::queries;
use attention::simd::Isa;
use attention::variant::{Family, Kind, Parameter, Value};
use attention::{
    Attention, Capabilities, Cost, Feature, Form, Geometry, Gradients, Output, OutputMut, Problem,
    Result, Scratch, Variant, Workers,
};
use ndarray::{Array2, ArrayView4, Axis, s};

const NAME: &str = "nystrom";

/// Rounding in f32 grows with each iteration, where A is near singular: 2e-4 of the output was seen at 16
/// iterations, 4e-2 at 24.
const MOST_ITERATIONS: i64 = 16;

/// O = F·Z·(B·V): F, A and B are the softmax of scores between queries and key landmarks, between
/// landmarks, and between query landmarks and keys; Z is the iterative pseudo-inverse of A.
///
/// Landmarks are means of `landmarks` segments of consecutive tokens, or the tokens themselves where
/// there are no more. Z starts from Aᵀ/(‖A‖₁·‖A‖∞) of each head by itself, as the paper has it; the
/// public code takes the largest norm over the batch unless told otherwise, so that an answer depends
/// on who else is in it. The convolution of V that the paper adds is left to the model around.
///
/// Z is far from an inverse while `iterations` are few and A is ill-conditioned, as it is for landmarks
/// that are alike (long histories of noise). With as many landmarks as tokens, iterations enough and A
/// well-conditioned it is softmax attention.
///
/// Source: Xiong et al., Nyströmformer, AAAI 2021, arXiv 2102.03902, equations 10 to 14.
/// Cost: O(N·m·(D + Dv) + iterations·m³) time for m landmarks; nothing is kept between calls.
///
/// ```
/// use attention::variant::Parameters;
/// use attention::{Output, Problem, Scratch, Workers};
/// use ndarray::Array4;
/// let x = Array4::from_shape_fn((1, 2, 100, 8), |(_, h, i, d)| ((h + 3 * i + 5 * d) % 7) as f32);
/// let nystrom = attention_linear::NYSTROM;
/// let variant = (nystrom.build)(&Parameters::defaults(nystrom.parameters))?;
/// let problem = Problem::new(x.view(), x.view(), x.view())?;
/// let mut out = Output::poisoned(problem.geometry(), false);
/// variant.forward(&problem, out.view_mut(), &Workers::serial(), &mut Scratch::new())?;
/// assert!(out.o.iter().all(|o| o.is_finite()));
/// # Ok::<(), attention::Error>(())
/// ```
pub static VARIANT: Variant = Variant {
    name: NAME,
    family: Family::Linear,
    summary: "Nyströmformer: attention to landmarks and the pseudo-inverse between them",
    time: "O(N·landmarks·D + landmarks³)",
    state: "none: landmarks are of queries too",
    source: "Xiong et al., Nyströmformer, AAAI 2021, arXiv 2102.03902, eq. 10-14",
    parameters: &[
        Parameter {
            name: "landmarks",
            kind: Kind::Integer { min: 1, max: 4096 },
            default: Value::Integer(64),
            summary: "segments of the history, whose means are the landmarks",
        },
        Parameter {
            name: "iterations",
            kind: Kind::Integer {
                min: 1,
                max: MOST_ITERATIONS,
            },
            default: Value::Integer(6),
            summary: "steps of the pseudo-inverse",
        },
        ISA,
    ],
    build: |parameters| {
        Ok(Box::new(Nystrom {
            landmarks: parameters.integer("landmarks"),
            iterations: parameters.integer("iterations"),
            isa: Isa::named(parameters.word("isa"))?,
        }))
    },
};

struct Nystrom {
    landmarks: usize,
    iterations: usize,
    isa: Isa,
}

/// Sizes of all that a call works with.
#[derive(Debug, Clone, Copy)]
struct Plan {
    landmarks: usize,
    iterations: usize,
    sizes: Sizes,
    scale: f32,
}

impl Plan {
    fn new(nystrom: &Nystrom, geometry: &Geometry, scale: f32) -> Self {
        let shape = geometry.shape();
        let ranges = [Geometry::query_range, Geometry::key_range];
        let tokens = ranges.map(|of| longest(geometry, of)).into_iter().max();
        Self {
            landmarks: nystrom.landmarks,
            iterations: nystrom.iterations,
            sizes: Sizes {
                m: nystrom.landmarks.min(tokens.unwrap_or(0)),
                d: shape.d,
                dv: shape.dv,
            },
            scale,
        }
    }

    /// Landmarks of n tokens.
    fn of(self, n: usize) -> usize {
        self.landmarks.min(n)
    }

    /// Pools of values under the attention of `m` query landmarks.
    fn pool(self, m: usize) -> PoolSizes {
        PoolSizes {
            m,
            most: self.sizes.m,
            d: self.sizes.d,
            width: self.sizes.dv,
            scale: self.scale,
        }
    }

    /// The pseudo-inverse of A of a history.
    fn inverse(self, queries: usize, keys: usize) -> Inverse {
        Inverse {
            rows: self.of(queries),
            columns: self.of(keys),
            stride: self.sizes.mp(),
            most: self.sizes.m,
            iterations: self.iterations,
        }
    }
}

impl Attention for Nystrom {
    fn capabilities(&self) -> Capabilities {
        capabilities(
            NAME,
            "landmarks are means over the history, its end included",
        )
        .without(
            Feature::Prepare,
            "landmarks of the queries take part in what stands for the keys",
        )
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities().admit(problem, &out)?;
        let plan = Plan::new(self, problem.geometry(), problem.scale());
        forward::forward(self.isa, plan, problem, out, workers, scratch);
        Ok(())
    }

    fn backward(
        &self,
        problem: &Problem<'_>,
        saved: &Output,
        d_o: ArrayView4<'_, f32>,
        out: &mut Gradients,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities()
            .admit_backward(problem, saved, &d_o, out)?;
        let plan = Plan::new(self, problem.geometry(), problem.scale());
        let d_o = d_o.as_standard_layout();
        backward::backward(self.isa, plan, problem, d_o.view(), out, workers, scratch);
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let plan = Plan::new(self, geometry, 1.0);
        memory::bytes(forward::layout(plan, geometry, threads))
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let plan = Plan::new(self, geometry, 1.0);
        memory::bytes(backward::layout(plan, geometry, threads))
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let shape = geometry.shape();
        let plan = Plan::new(self, geometry, 1.0);
        let (m, per_pair) = (plan.sizes.m, 2 * shape.d + 2 * shape.dv + 4);
        let histories = 0..shape.b;
        let of_head = histories.map(|s| {
            let tokens = keys(geometry, s) + geometry.query_range(s).len();
            m * tokens * per_pair + 8 * self.iterations * m * m * m
        });
        Cost {
            flops: (shape.h * of_head.sum::<usize>()) as u64,
            bytes: shape.tensor_bytes(),
            scratch_bytes: self.scratch_bytes(geometry, threads),
        }
    }

    fn form_f64(
        &self,
        problem: &Problem<'_>,
        sequence: usize,
        head: usize,
        rows: &[usize],
    ) -> Result<Form> {
        self.capabilities().admits_geometry(problem.geometry())?;
        let n = keys(problem.geometry(), sequence);
        let head = problem.head(sequence, head);
        if n == 0 {
            return Ok(Form {
                output: Array2::zeros((rows.len(), head.v.ncols())),
                weights: Some(Array2::zeros((rows.len(), head.k.nrows()))),
            });
        }
        let scale = f64::from(head.scale);
        let k = first(head.k, n);
        let means = |tokens: &Array2<f64>| {
            let n = tokens.nrows();
            let m = self.landmarks.min(n);
            let mut means = Array2::zeros((m, tokens.ncols()));
            for (r, mut mean) in means.axis_iter_mut(Axis(0)).enumerate() {
                let segment = landmarks::segment(r, m, n);
                let count = segment.len() as f64;
                mean += &(tokens.slice(s![segment, ..]).sum_axis(Axis(0)) / count);
            }
            means
        };
        let all_queries = first(head.q, head.q.nrows());
        let (q_marks, k_marks) = (means(&all_queries), means(&k));
        let attend = |q: &Array2<f64>, k: &Array2<f64>| softmax(q.dot(&k.t()) * scale);
        let a = attend(&q_marks, &k_marks);
        let corrected = pseudo_inverse(&a, self.iterations).dot(&attend(&q_marks, &k));
        let weights = attend(&queries(&head, rows), &k_marks).dot(&corrected);
        Ok(Form {
            output: weights.dot(&first(head.v, n)),
            weights: Some(for_all_keys(&weights, head.k.nrows())),
        })
    }

    /// Rounding of A is magnified by Z, as much as its iterations let it grow: by 13/4 each at most, and
    /// by the root of that in what was measured, with an eighth of this budget used.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        let epsilon = f64::from(f32::EPSILON);
        let growth = 3.25_f64.powf(self.iterations as f64 / 2.0);
        (8.0 * epsilon * max_abs_score)
            .max(epsilon * growth)
            .max(1e-4)
    }
}

/// The source's iteration, as it is written there.
fn pseudo_inverse(a: &Array2<f64>, iterations: usize) -> Array2<f64> {
    let largest = |axis| {
        let sums = a.sum_axis(Axis(axis));
        sums.into_iter().fold(0.0, f64::max)
    };
    let mut z = a.t().to_owned() / (largest(0) * largest(1));
    let eye = Array2::<f64>::eye(a.nrows());
    for _ in 0..iterations {
        let y = a.dot(&z);
        let t = 15.0 * &eye - y.dot(&(7.0 * &eye - &y));
        z = 0.25 * z.dot(&(13.0 * &eye - y.dot(&t)));
    }
    z
}
