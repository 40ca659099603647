//! HSTU's pointwise attention: O = (SiLU(scale·Q·Kᵀ + rab) ∘ mask)·V / n (Zhai et al., ICML 2024, equation 2).
//!
//! Weights are no distribution: how strongly a history speaks of a query shows in O, where a softmax would
//! divide it away. They may be as low as -0.28/n. Without a row maximum, partial sums over keys merge by
//! addition.
//!
//! rab is a bias by relative position, learned and the same for all heads, as in the authors' code
//! (`RelativePositionalBias`); their second table, by time, is left out.
//!
//! * `reference.rs`: the definition in f64
//! * `forward.rs`, `backward.rs`: tiles of 64 queries and 64 keys
//! * `positions.rs`: the bias and its gradient; `dropped.rs`: which weights are dropped

mod backward;
mod dropped;
mod forward;
mod positions;
mod reference;

use crate::ISA;
use attention::mask::SequenceMask;
use attention::simd::Isa;
use attention::tensors::expect_tensors;
use attention::variant::{Kind, Parameter, Parameters, Value};
use attention::{
    Attention, Capabilities, Family, Feature, Form, Geometry, Gradients, Init, Output, OutputMut,
    Problem, Result, Scratch, TensorSpec, Variant, Workers,
};
use ndarray::ArrayView4;

/// Pointwise attention with SiLU.
pub static VARIANT: Variant = Variant {
    name: "hstu",
    family: Family::Interest,
    summary: "SiLU of each score instead of a softmax, with a learned bias by relative position",
    time: "O(N²·D)",
    state: "N·(D + Dv)",
    source: "Zhai et al. 2024, Actions Speak Louder than Words, equation 2; code: \
             github.com/meta-recsys/generative-recommenders, research/modeling/sequential/hstu.py",
    parameters: &[
        ISA,
        Parameter {
            name: "positions",
            kind: Kind::Integer {
                min: 0,
                max: 1 << 20,
            },
            default: Value::Integer(200),
            summary: "distances that have a bias of their own, from 0 on either side (the length of a \
                      history in the authors' code, 200 for ml-1m); 0 for none",
        },
        Parameter {
            name: "length",
            kind: Kind::Integer {
                min: 0,
                max: 1 << 30,
            },
            default: Value::Integer(0),
            summary: "n, by which weights are divided: the longest history (as in the authors' code), or \
                      0 for the number of keys that the query sees, for which padding does not matter",
        },
    ],
    build: |parameters: &Parameters| {
        Ok(Box::new(Hstu {
            isa: Isa::named(parameters.word("isa"))?,
            positions: parameters.integer("positions"),
            length: parameters.integer("length"),
        }))
    },
};

/// The name of the learned bias.
const BIAS: &str = "position_bias";

#[derive(Debug, Clone, Copy)]
struct Hstu {
    isa: Isa,
    positions: usize,
    length: usize,
}

impl Hstu {
    /// 1/n of a query.
    fn share(&self, mask: &SequenceMask<'_>, i: usize) -> f64 {
        let n = match self.length {
            0 => mask.count(i),
            n => n,
        };
        1.0 / n.max(1) as f64
    }

    /// The bias by relative position, `[2·positions - 1]`.
    fn bias<'p>(&self, problem: &'p Problem<'_>) -> Option<&'p [f32]> {
        problem
            .tensor(BIAS)
            .filter(|_| self.positions > 0)?
            .as_slice()
    }
}

impl Attention for Hstu {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all(VARIANT.name, false)
            .without(
                Feature::Bias,
                "it learns a bias by relative position of its own",
            )
            .without(
                Feature::LogSumExp,
                "its weights are no softmax: partial results merge by addition",
            )
            .without(
                Feature::Prepare,
                "there is nothing to absorb: forward reads keys and values in place",
            )
    }

    fn tensors(&self, _: &Geometry) -> Vec<TensorSpec> {
        let bias = TensorSpec {
            name: BIAS,
            learned: true,
            shape: vec![2 * self.positions.max(1) - 1],
            // Of the authors' code.
            init: Init::Normal(0.02),
            summary: "bias by relative position, entry positions - 1 + (key - query)",
        };
        (self.positions > 0).then_some(bias).into_iter().collect()
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
        forward::forward(self, problem, out, workers, scratch);
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
        backward::backward(self, problem, d_o, out, workers, scratch);
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        Scratch::bytes_for(threads, forward::floats(geometry.shape()))
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        Scratch::bytes_for(1, backward::floats(self, geometry, threads))
    }

    fn form_f64(
        &self,
        problem: &Problem<'_>,
        sequence: usize,
        head: usize,
        rows: &[usize],
    ) -> Result<Form> {
        expect_tensors(self, problem)?;
        Ok(reference::form(self, problem, sequence, head, rows))
    }
}
