//! Additive attention: scores e_ij = vᵀ·tanh(W_k·k_j + W_q·q_i + b), and their softmax (Bahdanau et al. 2015,
//! appendix A.1.2). Without queries it is the pooling of news recommenders (Wu et al. 2019, NAML, equation 3,
//! and NRMS, equation 9): one sum over a history, for its user.
//!
//! Scores have no factor: the problem's scale is not used. One tanh a pair and hidden unit is what it costs.

mod unit;

use crate::ISA;
use crate::learned::{Learned, give};
use crate::unit::{backward, backward_floats, form, forward, forward_floats};
use attention::simd::Isa;
use attention::tensors::expect_tensors;
use attention::variant::{Kind, Parameter, Parameters, Value};
use attention::{
    Attention, Capabilities, Cost, Family, Form, Geometry, Gradients, Output, OutputMut, Problem,
    Result, Scratch, Shape, TensorSpec, Variant, Workers,
};
use ndarray::ArrayView4;
use unit::Additive;

/// Attention by a hidden layer of tanh.
pub static VARIANT: Variant = Variant {
    name: "additive",
    family: Family::Interest,
    summary: "softmax of vᵀ·tanh(W_k·k + W_q·q + b), or of the same without queries, as pooling",
    time: "O(N²·(A + D))",
    state: "N·(D + Dv)",
    source: "Bahdanau et al. 2015, appendix A.1.2; Wu et al. 2019, NRMS, equation 9",
    parameters: &[
        ISA,
        Parameter {
            name: "hidden",
            kind: Kind::Integer { min: 1, max: 4096 },
            default: Value::Integer(200),
            summary: "hidden units A (200 in NRMS and NAML)",
        },
        Parameter {
            name: "form",
            kind: Kind::Word(&["query", "pooling"]),
            default: Value::Word("query"),
            summary: "whether queries take part in the scores (Bahdanau), or all weigh alike (NRMS)",
        },
    ],
    build: |parameters: &Parameters| {
        Ok(Box::new(Configured {
            isa: Isa::named(parameters.word("isa"))?,
            hidden: parameters.integer("hidden"),
            pooling: parameters.word("form") == "pooling",
        }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Configured {
    isa: Isa,
    hidden: usize,
    pooling: bool,
}

impl Configured {
    /// Its network with the weights of a problem.
    fn unit<'p>(&self, problem: &'p Problem<'_>) -> Additive<'p> {
        Additive::new(self.isa, self.hidden, self.pooling, problem)
    }

    /// The same without weights, for what depends on sizes alone.
    fn outline(&self, shape: &Shape) -> Additive<'static> {
        Additive::outline(self.isa, self.hidden, self.pooling, shape.d)
    }
}

impl Attention for Configured {
    fn capabilities(&self) -> Capabilities {
        crate::unit_capabilities(VARIANT.name)
    }

    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        let shape = [geometry.shape().d, self.hidden];
        let key = Learned::matrix("key_map", shape, "W_k, from a key to hidden units");
        let query = Learned::matrix("query_map", shape, "W_q, from a query to hidden units");
        let bias = Learned::bias("bias", self.hidden, "b, of the hidden units");
        let vector = Learned {
            name: "vector",
            shape: vec![self.hidden],
            deviation: (2.0 / (self.hidden + 1) as f32).sqrt(),
            summary: "v, from hidden units to the score",
        };
        let query = (!self.pooling).then_some(query);
        let all = [key].into_iter().chain(query).chain([bias, vector]);
        all.map(Learned::spec).collect()
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
        forward(
            self.isa,
            &self.unit(problem),
            problem,
            out,
            workers,
            scratch,
        );
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
        let unit = self.unit(problem);
        let learned = backward(
            self.isa,
            &unit,
            problem,
            (saved, d_o),
            out,
            workers,
            scratch,
        );
        give(&self.tensors(problem.geometry()), &learned, out);
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let shape = geometry.shape();
        Scratch::bytes_for(threads, forward_floats(&self.outline(shape), shape))
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let unit = self.outline(geometry.shape());
        Scratch::bytes_for(1, backward_floats(&unit, geometry, threads))
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let shape = geometry.shape();
        let pairs = self.scored_pairs(geometry);
        // A sum, a tanh of some ten operations, a multiply-add.
        let each = 13 * self.hidden + 2 * shape.dv + 4;
        let tokens = (shape.b * (shape.h * shape.nq + shape.hkv * shape.nk)) as u64;
        Cost {
            flops: pairs * each as u64 + tokens * (2 * shape.d * self.hidden) as u64,
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
        expect_tensors(self, problem)?;
        Ok(form(&self.unit(problem), problem, sequence, head, rows))
    }
}
