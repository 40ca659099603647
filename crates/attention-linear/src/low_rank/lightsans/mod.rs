//! LightSANs: a few latent interests of a user, pooled from the history by learned points.

mod aggregate;
mod backward;
mod forward;

use super::across;
use super::form::{first, for_all_keys, softmax, softmax_columns};
use super::memory::{self, Layout};
use super::pieces::keys;
use super::pool::{Over, PoolSizes};
use super::read::Known;
use super::summary::{Sizes, Summary};
use super::{ISA, SUM, capabilities};
use crate::form::queries;
use attention::simd::Isa;
use attention::tensors::expect_tensors;
use attention::variant::{Family, Kind, Parameter, Value};
use attention::{
    Attention, Capabilities, Cost, Feature, Form, Geometry, Gradients, Init, Output, OutputMut,
    Prepared, Problem, Result, Scratch, TensorSpec, Variant, Workers,
};
use ndarray::{Array2, ArrayView4, Axis};

/// Why no key can be appended to what was prepared.
const CLOSED: &str = "interests are pooled from the whole history, and normalised when it ends";
const NAME: &str = "lightsans";
const KEYS: &str = "key_interest";
const VALUES: &str = "value_interest";
const SEQUENCE: &str = "sequence";
const INTEREST: &str = "interest";
const QUERY: &str = "query";

/// O = softmax(scale·Q·K̄ᵀ)·V̄ with K̄ = softmax(K·Θ)ᵀ·K and V̄ = softmax(V·Θ')ᵀ·V.
///
/// Tensors `key_interest` (Θ, `[Hkv, D, interests]`) and `value_interest` (Θ', `[Hkv, Dv, interests]`).
/// `axis` says what the softmaxes go over. `sequence`: that of the aggregation over the positions, so
/// that each interest is a mean of tokens, and that of the scores Q·K̄ᵀ over the interests. `interest`,
/// as the equation's distribution of an item over interests reads: that of the aggregation over the
/// interests, so that each token is shared out, and an interest is a sum that grows with N. `query`, as
/// the public code has it (`dim=-2` in both places): that of the scores over all queries of the history,
/// padding included, so that an answer depends on who else asks, and nothing can be prepared.
///
/// The paper's second term, softmax of position scores times V, does not depend on the history: it is
/// exact attention of position vectors, and any exact variant computes it.
///
/// Source: Fan et al., Lighter and Better: Low-Rank Decomposed Self-Attention Networks for Next-Item
/// Recommendation, SIGIR 2021, section 3.1.
/// Cost: O(N·interests·(D + Dv)) time, state interests·(D + Dv).
///
/// ```
/// use attention::variant::Parameters;
/// use attention::{Output, Problem, Scratch, Tensors, Workers};
/// use ndarray::Array4;
/// let x = Array4::from_shape_fn((1, 2, 100, 8), |(_, h, i, d)| ((h + 3 * i + 5 * d) % 7) as f32);
/// let lightsans = attention_linear::LIGHTSANS;
/// let variant = (lightsans.build)(&Parameters::defaults(lightsans.parameters))?;
/// let problem = Problem::new(x.view(), x.view(), x.view())?;
/// let interests = Tensors::of(variant.as_ref(), problem.geometry(), 1);
/// let problem = problem.supplied(&interests);
/// let mut out = Output::poisoned(problem.geometry(), false);
/// variant.forward(&problem, out.view_mut(), &Workers::serial(), &mut Scratch::new())?;
/// assert!(out.o.iter().all(|o| o.is_finite()));
/// # Ok::<(), attention::Error>(())
/// ```
pub static VARIANT: Variant = Variant {
    name: NAME,
    family: Family::Linear,
    summary: "LightSANs: keys and values pooled to a few latent interests",
    time: "O(N·interests·D)",
    state: "interests·(D + Dv)",
    source: "Fan et al., LightSANs, SIGIR 2021, section 3.1",
    parameters: &[
        Parameter {
            name: "interests",
            kind: Kind::Integer { min: 1, max: 4096 },
            default: Value::Integer(16),
            summary: "latent interests that a history is pooled to",
        },
        Parameter {
            name: "axis",
            kind: Kind::Word(&[SEQUENCE, INTEREST, QUERY]),
            default: Value::Word(SEQUENCE),
            summary: "sequence as the paper; pooling over interests; answers over queries, as public code",
        },
        ISA,
    ],
    build: |parameters| {
        Ok(Box::new(LightSans {
            interests: parameters.integer("interests"),
            over: match parameters.word("axis") {
                INTEREST => Over::Points,
                _ => Over::Tokens,
            },
            among_queries: parameters.word("axis") == QUERY,
            isa: Isa::named(parameters.word("isa"))?,
        }))
    },
};

struct LightSans {
    interests: usize,
    over: Over,
    among_queries: bool,
    isa: Isa,
}

/// Sizes of all that a call works with.
#[derive(Debug, Clone, Copy)]
struct Plan {
    sizes: Sizes,
    keys: PoolSizes,
    values: PoolSizes,
    over: Over,
    among_queries: bool,
}

impl Plan {
    /// Sizes of what is kept of the queries, which is nothing where the softmax goes over interests.
    fn across(self, geometry: &Geometry, backward: bool) -> Layout<2> {
        match self.among_queries {
            true => across::layout(self.sizes, geometry, backward),
            false => [(0, 0); 2],
        }
    }

    fn work_across(self) -> usize {
        match self.among_queries {
            true => across::work(self.sizes),
            false => 0,
        }
    }

    /// What is known of the queries of a history and head, beside the summary.
    fn known(
        self,
        across: across::Shelves,
        problem: &Problem<'_>,
        summary: Summary,
        at: (usize, usize),
    ) -> Known {
        let known = || across.of(problem, self.sizes, at);
        Known {
            summary,
            across: self.among_queries.then(known),
        }
    }
}

impl LightSans {
    fn plan(&self, geometry: &Geometry) -> Plan {
        let shape = geometry.shape();
        let pool = |width| PoolSizes {
            m: self.interests,
            most: self.interests,
            d: width,
            width,
            scale: 1.0,
        };
        Plan {
            sizes: Sizes {
                m: self.interests,
                d: shape.d,
                dv: shape.dv,
            },
            keys: pool(shape.d),
            values: pool(shape.dv),
            over: self.over,
            among_queries: self.among_queries,
        }
    }
}

impl Attention for LightSans {
    fn capabilities(&self) -> Capabilities {
        let all = capabilities(NAME, "an interest is pooled from the whole history");
        if !self.among_queries {
            return all;
        }
        all.without(
            Feature::Prepare,
            "its softmax goes over the queries, so that an answer depends on who else asks",
        )
    }

    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        let shape = geometry.shape();
        let spec = |name, width: usize, summary| TensorSpec {
            name,
            learned: true,
            shape: vec![shape.hkv, width, self.interests],
            init: Init::Normal(1.0 / (width.max(1) as f32).sqrt()),
            summary,
        };
        vec![
            spec(
                KEYS,
                shape.d,
                "points that say which keys an interest pools",
            ),
            spec(
                VALUES,
                shape.dv,
                "points that say which values an interest pools",
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
        let plan = self.plan(problem.geometry());
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
        expect_tensors(self, problem)?;
        let plan = self.plan(problem.geometry());
        let d_o = d_o.as_standard_layout();
        backward::backward(self.isa, plan, problem, d_o.view(), out, workers, scratch);
        Ok(())
    }

    fn prepare(&self, problem: &Problem<'_>, workers: &Workers) -> Result<Box<dyn Prepared>> {
        self.capabilities().admit_prepare(problem)?;
        expect_tensors(self, problem)?;
        let plan = self.plan(problem.geometry());
        let whose = (NAME, CLOSED);
        let kept = forward::prepare(self.isa, plan, problem, workers, whose);
        Ok(Box::new(kept))
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        memory::bytes(forward::layout(self.plan(geometry), geometry, threads))
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        memory::bytes(backward::layout(self.plan(geometry), geometry, threads))
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let shape = geometry.shape();
        let per_pair = 2 * shape.d + 2 * shape.dv + 4;
        let histories = 0..shape.b;
        let pairs = histories.map(|s| {
            // Keys and values are scored and summed: twice what a query does.
            let tokens = 2 * shape.hkv * keys(geometry, s);
            self.interests * (tokens + shape.h * geometry.query_range(s).len())
        });
        Cost {
            flops: (pairs.sum::<usize>() * per_pair) as u64,
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
        expect_tensors(self, problem)?;
        let n = keys(problem.geometry(), sequence);
        let key_head = problem.geometry().key_head(head);
        let head = problem.head(sequence, head);
        let pooling = |name, tokens: &Array2<f64>| {
            let tensor = problem.tensor(name);
            let entry = |(d, r)| tensor.map_or(0.0, |t| f64::from(t[[key_head, d, r]]));
            let points = Array2::from_shape_fn((tokens.ncols(), self.interests), entry);
            let scores = tokens.dot(&points);
            match self.over {
                Over::Tokens => softmax_columns(scores),
                Over::Points => softmax(scores),
            }
        };
        let (k, v) = (first(head.k, n), first(head.v, n));
        let summary_keys = pooling(KEYS, &k).t().dot(&k);
        let scores = |q: Array2<f64>| q.dot(&summary_keys.t()) * f64::from(head.scale);
        let mut weights = if self.among_queries {
            let all = first(head.q, head.q.nrows());
            softmax_columns(scores(all)).select(Axis(0), rows)
        } else {
            softmax(scores(queries(&head, rows)))
        };
        if n == 0 {
            weights.fill(0.0);
        }
        let shares = pooling(VALUES, &v);
        let weights = weights.dot(&shares.t());
        Ok(Form {
            output: weights.dot(&v),
            weights: Some(for_all_keys(&weights, head.k.nrows())),
        })
    }

    /// Pooling scores are those of learned points, which the largest score of a query says nothing of:
    /// 64·ε and as much as exact attention may have, measured up to 16384 Gaussian keys. Answers are sums
    /// over the interests.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        let least = match self.over {
            Over::Tokens => 4e-6,
            // Interests grow with N, and with them the scores.
            Over::Points => 2e-5,
        };
        let least = f64::max(least, SUM * self.interests as f64);
        (8.0 * f64::from(f32::EPSILON) * max_abs_score).max(least)
    }
}
