//! DIN's local activation unit: O = Σ a(q, k)·v with a(q, k) = scale·MLP(\[q; k; q - k; q∘k\]) (Zhou et al., Deep
//! Interest Network, KDD 2018, section 4.3 and figure 2). A query is a candidate, keys are a user's events.
//!
//! Weights are no softmax, so that the strength of an interest shows in O; RecBole's model offers one. As there
//! (`SequenceAttLayer`), two hidden layers of 80 and 40 units have a sigmoid, and scores are divided by √D. The
//! paper's have PReLU or Dice, which depends on the batch and so is no function of a pair.
//!
//! The first layer is linear: W·\[q; k; q - k; q∘k\] = (W_q + W_d)ᵀq + (W_k - W_d + diag(q)·W_p)ᵀk. So a query
//! makes a matrix `[D, h]` of its own, and a pair costs D·h multiply-adds there instead of 4·D·h.

mod unit;

use crate::ISA;
use crate::learned::{Learned, give};
use crate::unit::{backward, backward_floats, form, forward, forward_floats};
use attention::simd::Isa;
use attention::tensors::expect_tensors;
use attention::variant::{Kind, Parameter, Parameters, Value};
use attention::{
    Attention, Capabilities, Cost, Family, Feature, Form, Geometry, Gradients, Output, OutputMut,
    Problem, Result, Scratch, TensorSpec, Variant, Workers,
};
use ndarray::ArrayView4;
use unit::{Din, Sizes};

/// Target attention by a small network.
pub static VARIANT: Variant = Variant {
    name: "din",
    family: Family::Interest,
    summary: "a network of query, key, difference and product weighs each pair",
    time: "O(N²·(D·h + h·h'))",
    state: "N·(D + Dv)",
    source: "Zhou et al. 2018, Deep Interest Network, section 4.3; RecBole's SequenceAttLayer",
    parameters: &[
        ISA,
        Parameter {
            name: "hidden-1",
            kind: Kind::Integer { min: 1, max: 1024 },
            default: Value::Integer(80),
            summary: "units of the first hidden layer (80 in the authors' code and RecBole)",
        },
        Parameter {
            name: "hidden-2",
            kind: Kind::Integer { min: 1, max: 1024 },
            default: Value::Integer(40),
            summary: "units of the second hidden layer (40 in the authors' code and RecBole)",
        },
        Parameter {
            name: "weights",
            kind: Kind::Word(&["scores", "softmax"]),
            default: Value::Word("scores"),
            summary: "whether weights are the scores (the paper) or a softmax of them (RecBole's option)",
        },
    ],
    build: |parameters: &Parameters| {
        Ok(Box::new(Configured {
            isa: Isa::named(parameters.word("isa"))?,
            hidden: [
                parameters.integer("hidden-1"),
                parameters.integer("hidden-2"),
            ],
            softmax: parameters.word("weights") == "softmax",
        }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Configured {
    isa: Isa,
    hidden: [usize; 2],
    softmax: bool,
}

impl Configured {
    fn sizes(&self, geometry: &Geometry) -> Sizes {
        Sizes {
            isa: self.isa,
            d: geometry.shape().d,
            hidden: self.hidden,
            softmax: self.softmax,
        }
    }
}

impl Attention for Configured {
    fn capabilities(&self) -> Capabilities {
        let capabilities = crate::unit_capabilities(VARIANT.name);
        if self.softmax {
            return capabilities;
        }
        capabilities.without(
            Feature::LogSumExp,
            "its weights are no softmax: partial results merge by addition",
        )
    }

    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        let (d, [h1, h2]) = (geometry.shape().d, self.hidden);
        let all = [
            Learned::matrix("w1", [4 * d, h1], "first layer: of q, k, q - k, q∘k"),
            Learned::bias("b1", h1, "bias of the first layer"),
            Learned::matrix("w2", [h1, h2], "second layer"),
            Learned::bias("b2", h2, "bias of the second layer"),
            Learned {
                name: "w3",
                shape: vec![h2],
                deviation: (2.0 / (h2 + 1) as f32).sqrt(),
                summary: "from the second layer to the score",
            },
            Learned::bias("b3", 1, "bias of the score"),
        ];
        all.map(Learned::spec).into()
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
        let unit = Din::new(self.sizes(problem.geometry()), problem);
        forward(self.isa, &unit, problem, out, workers, scratch);
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
        let unit = Din::new(sizes, problem);
        let mut learned = backward(
            self.isa,
            &unit,
            problem,
            (saved, d_o),
            out,
            workers,
            scratch,
        );
        sizes.divide(&mut learned);
        give(&self.tensors(problem.geometry()), &learned, out);
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let unit = Din::outline(self.sizes(geometry));
        Scratch::bytes_for(threads, forward_floats(&unit, geometry.shape()))
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let unit = Din::outline(self.sizes(geometry));
        Scratch::bytes_for(1, backward_floats(&unit, geometry, threads))
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let (shape, [h1, h2]) = (geometry.shape(), self.hidden);
        // Two layers of multiply-adds, a sigmoid of some ten operations for each of their units.
        let each = 2 * (shape.d * h1 + h1 * h2 + h2) + 10 * (h1 + h2) + 2 * shape.dv;
        Cost {
            flops: self.scored_pairs(geometry) * each as u64,
            bytes: shape.tensor_bytes(),
            scratch_bytes: self.scratch_bytes(geometry, threads),
        }
    }

    /// A score is a sum of signed terms, whose rounding errors are those of its largest: 6.6e-6 was seen where
    /// most of it cancels.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        (8.0 * f64::from(f32::EPSILON) * max_abs_score).max(1e-5)
    }

    fn form_f64(
        &self,
        problem: &Problem<'_>,
        sequence: usize,
        head: usize,
        rows: &[usize],
    ) -> Result<Form> {
        expect_tensors(self, problem)?;
        let unit = Din::new(self.sizes(problem.geometry()), problem);
        Ok(form(&unit, problem, sequence, head, rows))
    }
}
