//! Selective scan: every value channel its own decays.

mod backward;
mod chunk;
mod forward;
mod prepared;

use super::form::end_of;
use super::ops::Ops;
use super::{CHUNK, support};
use attention::simd::Isa;
use attention::variant::Parameters;
use attention::{
    Attention, Capabilities, Cost, Family, Form, Geometry, Gradients, Init, Output, OutputMut,
    Prepared, Problem, Result, Scratch, TensorSpec, Variant, Workers,
};
use ndarray::{Array2, ArrayView4};

const NAME: &str = "selective-scan";

/// Each channel c of V has its own A and Δ: `h_t[n] = exp(Δ_t·A[n])·h_{t-1}[n] + Δ_t·k_t[n]·v_t` and
/// `O_i = Σ_n scale·q_i[n]·h[n] + skip·v`, h and v those of the last key that query i sees.
///
/// Learned `log_rate` `[Hkv, Dv, D]`, A = -exp(log_rate), and `skip` `[Hkv, Dv]`; side input `step`
/// `[B, Hkv, Nk, Dv]`, Δ > 0 (after the softplus). K and Q stand for B and C of the source.
///
/// Source: Gu & Dao, Mamba, 2023, equation 2 and Algorithm 2 (B by Euler's rule, as its code has it).
/// Cost: O(N·D·Dv) time, an exponential for each; state D·Dv.
pub static VARIANT: Variant = Variant {
    name: NAME,
    family: Family::Linear,
    summary: "selective scan (Mamba): every value channel decays by its own step and rates",
    time: "O(N·D²)",
    state: "D·Dv + Dv",
    source: "Gu & Dao, Mamba, 2023, eq. 2, Algorithm 2",
    parameters: &[support::ISA],
    build: |parameters: &Parameters| {
        Ok(Box::new(Selective {
            ops: Ops {
                isa: Isa::named(parameters.word("isa"))?,
            },
        }))
    },
};

#[derive(Clone, Copy)]
struct Selective {
    ops: Ops,
}

impl Selective {
    fn expect(&self, problem: &Problem<'_>, keys: &dyn Fn(usize) -> usize) -> Result<()> {
        let range = support::Range {
            name: "step",
            holds: |x| x > 0.0 && x.is_finite(),
            expected: "a finite step above 0",
        };
        support::expect_range(self, problem, keys, &[range])
    }

    fn admit_tensors(&self, problem: &Problem<'_>) -> Result<()> {
        self.expect(problem, &|s| support::visible_keys(problem, s))
    }
}

impl Attention for Selective {
    fn capabilities(&self) -> Capabilities {
        support::recurrent(NAME)
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities().admit(problem, &out)?;
        self.admit_tensors(problem)?;
        forward::forward(self.ops, problem, out, workers, scratch);
        Ok(())
    }

    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        let shape = geometry.shape();
        let lead = if geometry.is_jagged() { 1 } else { shape.b };
        vec![
            TensorSpec {
                name: "log_rate",
                learned: true,
                shape: vec![shape.hkv, shape.dv, shape.d],
                init: Init::Constant(0.0),
                summary: "logarithm of the rates at which states decay",
            },
            TensorSpec {
                name: "skip",
                learned: true,
                shape: vec![shape.hkv, shape.dv],
                init: Init::Constant(0.0),
                summary: "what of the last value is added to the output",
            },
            TensorSpec {
                name: "step",
                learned: false,
                shape: vec![lead, shape.hkv, shape.nk, shape.dv],
                init: Init::Constant(0.05),
                summary: "the time that passes before each key, by channel",
            },
        ]
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let plan = forward::Plan::of(geometry.shape(), threads);
        Scratch::bytes_for(threads.min(plan.tasks()).max(1), plan.floats())
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        backward::scratch_bytes(geometry, threads)
    }

    /// For an entry of the state, a key costs an exponential (8 operations) and 4 more, a query 2.
    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let shape = geometry.shape();
        let state = (shape.d * shape.dv) as u64;
        let flops = (0..shape.b).map(|s| {
            let mask = geometry.sequence(s);
            let last = mask.queries().checked_sub(1);
            let keys = last.map_or(0, |last| mask.span(last).end);
            12 * (shape.hkv * keys) as u64 + 2 * (shape.h * mask.queries()) as u64
        });
        Cost {
            flops: state * flops.sum::<u64>(),
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
        self.admit_tensors(problem)?;
        let key_head = problem.geometry().key_head(head);
        let head = problem.head(sequence, head);
        let (d, dv) = (head.q.ncols(), head.v.ncols());
        let steps = support::side(problem, "step", (sequence, key_head));
        let rates = support::of_head(problem, "log_rate", key_head);
        let skip = support::of_head(problem, "skip", key_head);
        let wide = |x: f32| f64::from(x);
        let mut form = super::form::walk(
            &head,
            rows,
            |q| q,
            |state: &mut Array2<f64>, j| {
                for ((n, c), h) in state.indexed_iter_mut() {
                    let step = wide(steps[j * dv + c]);
                    let rate = -wide(rates[c * d + n]).exp();
                    let written = step * wide(head.k[[j, n]]) * wide(head.v[[j, c]]);
                    *h = (step * rate).exp() * *h + written;
                }
            },
        );
        for (mut o, &i) in form.output.outer_iter_mut().zip(rows) {
            if let Some(last) = end_of(&head, i).checked_sub(1) {
                for (c, o) in o.iter_mut().enumerate() {
                    *o += wide(skip[c]) * wide(head.v[[last, c]]);
                }
            }
        }
        Ok(form)
    }

    /// Sums that may cancel, and decays of 2e-7 each that add up over the memory of a state: 64·ε.
    fn error_budget(&self, _max_abs_score: f64) -> f64 {
        64.0 * f64::from(f32::EPSILON)
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
        self.admit_tensors(problem)?;
        backward::backward(self.ops, problem, d_o, out, workers, scratch);
        Ok(())
    }

    fn prepare(&self, problem: &Problem<'_>, workers: &Workers) -> Result<Box<dyn Prepared>> {
        self.capabilities().admit_prepare(problem)?;
        let variant = *self;
        let check = Box::new(
            move |problem: &Problem<'_>, keys: &dyn Fn(usize) -> usize| {
                variant.expect(problem, keys)
            },
        );
        prepared::prepare(self.ops, problem, workers, check)
    }
}
