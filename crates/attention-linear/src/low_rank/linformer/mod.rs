//! Linformer: keys and values projected along the sequence by learned matrices.

mod backward;
mod forward;
mod project;

use super::form::{first, for_all_keys, softmax};
use super::pieces::{keys, longest};
use super::summary::Sizes;
use super::{ISA, SUM, capabilities, memory};
use crate::form::queries;
use attention::simd::Isa;
use attention::tensors::expect_tensors;
use attention::variant::{Family, Kind, Parameter, Value};
use attention::{
    Attention, Capabilities, Cost, Form, Geometry, Gradients, Init, Output, OutputMut, Prepared,
    Problem, Result, Scratch, TensorSpec, Variant, Workers,
};
use ndarray::{Array2, ArrayView4};

/// Why no key can be appended to what was prepared.
const CLOSED: &str = "the projections have a column for each position of the history they are for";
const NAME: &str = "linformer";
const KEYS: &str = "key_projection";
const VALUES: &str = "value_projection";

/// O = softmax(scale·Q·(E·K)ᵀ)·(F·V) with learned E and F `[Hkv, rank, Nk]`.
///
/// Tensors `key_projection` (E) and `value_projection` (F) have a column for each position of the
/// longest history; a history of n keys uses the first n. The paper's parameter sharing between heads
/// and layers is a matter of giving the same tensors. With rank = N and identities it is softmax
/// attention.
///
/// Source: Wang et al., Linformer, 2020, arXiv 2006.04768, equation 7.
/// Cost: O(N·rank·(D + Dv)) time, state rank·(D + Dv).
///
/// ```
/// use attention::variant::Parameters;
/// use attention::{Output, Problem, Scratch, Tensors, Workers};
/// use ndarray::Array4;
/// let x = Array4::from_shape_fn((1, 2, 100, 8), |(_, h, i, d)| ((h + 3 * i + 5 * d) % 7) as f32);
/// let linformer = attention_linear::LINFORMER;
/// let variant = (linformer.build)(&Parameters::defaults(linformer.parameters))?;
/// let problem = Problem::new(x.view(), x.view(), x.view())?;
/// let projections = Tensors::of(variant.as_ref(), problem.geometry(), 1);
/// let problem = problem.supplied(&projections);
/// let mut out = Output::poisoned(problem.geometry(), false);
/// variant.forward(&problem, out.view_mut(), &Workers::serial(), &mut Scratch::new())?;
/// assert!(out.o.iter().all(|o| o.is_finite()));
/// # Ok::<(), attention::Error>(())
/// ```
pub static VARIANT: Variant = Variant {
    name: NAME,
    family: Family::Linear,
    summary: "Linformer: keys and values projected along the sequence to a few rows",
    time: "O(N·rank·D)",
    state: "rank·(D + Dv)",
    source: "Wang et al., Linformer, 2020, arXiv 2006.04768, eq. 7",
    parameters: &[
        Parameter {
            name: "rank",
            kind: Kind::Integer {
                min: 1,
                max: 65_536,
            },
            default: Value::Integer(64),
            summary: "rows that keys and values are projected to",
        },
        ISA,
    ],
    build: |parameters| {
        Ok(Box::new(Linformer {
            rank: parameters.integer("rank"),
            isa: Isa::named(parameters.word("isa"))?,
        }))
    },
};

struct Linformer {
    rank: usize,
    isa: Isa,
}

impl Linformer {
    fn sizes(&self, geometry: &Geometry) -> Sizes {
        let shape = geometry.shape();
        Sizes {
            m: self.rank,
            d: shape.d,
            dv: shape.dv,
        }
    }
}

impl Attention for Linformer {
    fn capabilities(&self) -> Capabilities {
        capabilities(
            NAME,
            "the projections mix all keys of a history, later ones too",
        )
    }

    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        let longest = longest(geometry, Geometry::key_range);
        let spec = |name, summary| TensorSpec {
            name,
            learned: true,
            shape: vec![geometry.shape().hkv, self.rank, longest],
            init: Init::Normal(1.0 / (self.rank as f32).sqrt()),
            summary,
        };
        vec![
            spec(KEYS, "E, what each row of summary keys takes of each key"),
            spec(
                VALUES,
                "F, what each row of summary values takes of each value",
            ),
        ]
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities().admit(problem, &out)?;
        expect_tensors(self, problem)?;
        let sizes = self.sizes(problem.geometry());
        forward::forward(self.isa, sizes, problem, out, workers, scratch);
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
        expect_tensors(self, problem)?;
        let sizes = self.sizes(problem.geometry());
        let d_o = d_o.as_standard_layout();
        backward::backward(self.isa, sizes, problem, d_o.view(), out, workers, scratch);
        Ok(())
    }

    fn prepare(&self, problem: &Problem<'_>, workers: &Workers) -> Result<Box<dyn Prepared>> {
        self.capabilities().admit_prepare(problem)?;
        expect_tensors(self, problem)?;
        let sizes = self.sizes(problem.geometry());
        let whose = (NAME, CLOSED);
        let kept = forward::prepare(self.isa, sizes, problem, workers, whose);
        Ok(Box::new(kept))
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        memory::bytes(forward::layout(self.sizes(geometry), geometry, threads))
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        memory::bytes(backward::layout(self.sizes(geometry), geometry, threads))
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let shape = geometry.shape();
        let histories = 0..shape.b;
        let tokens = histories.map(|s| {
            let queries = geometry.query_range(s).len();
            shape.hkv * keys(geometry, s) + shape.h * queries
        });
        let per_token = self.rank * (2 * shape.d + 2 * shape.dv + 4);
        let projections = 2 * shape.hkv * self.rank * longest(geometry, Geometry::key_range);
        Cost {
            flops: (tokens.sum::<usize>() * per_token) as u64,
            bytes: shape.tensor_bytes() + 4 * projections as u64,
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
        expect_tensors(self, problem)?;
        let n = keys(problem.geometry(), sequence);
        let key_head = problem.geometry().key_head(head);
        let head = problem.head(sequence, head);
        let projection = |name| {
            let tensor = problem.tensor(name).into_iter();
            let entries = |(r, j)| {
                let mut tensor = tensor.clone();
                tensor
                    .next()
                    .map_or(0.0, |t| f64::from(t[[key_head, r, j]]))
            };
            Array2::from_shape_fn((self.rank, n), entries)
        };
        let summary_keys = projection(KEYS).dot(&first(head.k, n));
        let scores = queries(&head, rows).dot(&summary_keys.t()) * f64::from(head.scale);
        let mut weights = softmax(scores);
        if n == 0 {
            weights.fill(0.0);
        }
        let f = projection(VALUES);
        Ok(Form {
            output: weights.dot(&f.dot(&first(head.v, n))),
            weights: Some(for_all_keys(&weights.dot(&f), head.k.nrows())),
        })
    }

    /// Scores are of projected keys, larger than those of keys by the square root of N / rank: measured
    /// up to 16384 Gaussian keys. Answers are sums over `rank` rows.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        let least = 4e-6_f64.max(SUM * self.rank as f64);
        (16.0 * f64::from(f32::EPSILON) * max_abs_score).max(least)
    }
}
