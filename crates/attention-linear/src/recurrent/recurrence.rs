//! The variants whose state is a matrix, as the contract asks for them.

use super::matrix::{self, Decays, Rule};
use super::{CHUNK, form, support};
use attention::{
    Attention, Capabilities, Cost, Form, Geometry, Gradients, Init, Output, OutputMut, Prepared,
    Problem, Result, Scratch, TensorSpec, Workers,
};
use ndarray::{Array1, ArrayView4};

/// A variant by its name and rule.
#[derive(Clone, Copy)]
pub(super) struct Recurrence {
    pub(super) name: &'static str,
    pub(super) rule: Rule,
}

/// What side inputs must be; beyond 2 a step along a key of unit length makes the state larger.
static RANGES: [support::Range; 2] = [
    support::Range {
        name: "log_decay",
        holds: |x| x <= 0.0,
        expected: "a logarithm of a decay, at most 0",
    },
    support::Range {
        name: "beta",
        holds: |x| (0.0..=2.0).contains(&x),
        expected: "a step from 0 to 2",
    },
];

impl Recurrence {
    fn expect(&self, problem: &Problem<'_>, keys: &dyn Fn(usize) -> usize) -> Result<()> {
        let from = usize::from(!self.rule.decays.are_given());
        let to = 1 + usize::from(self.rule.delta);
        support::expect_range(self, problem, keys, &RANGES[from..to])
    }

    fn admit_tensors(&self, problem: &Problem<'_>) -> Result<()> {
        self.expect(problem, &|s| support::visible_keys(problem, s))
    }
}

impl Attention for Recurrence {
    fn capabilities(&self) -> Capabilities {
        support::recurrent(self.name)
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
        matrix::forward(&self.rule, problem, out, workers, scratch);
        Ok(())
    }

    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        let shape = geometry.shape();
        let lead = if geometry.is_jagged() { 1 } else { shape.b };
        let by_key = vec![lead, shape.hkv, shape.nk];
        let mut tensors = Vec::new();
        if self.rule.decays.are_given() {
            let mut shape_of = by_key.clone();
            if self.rule.decays == Decays::Lanes {
                shape_of.push(shape.d);
            }
            tensors.push(TensorSpec {
                name: "log_decay",
                learned: false,
                shape: shape_of,
                init: Init::Constant(-0.05),
                summary: "logarithm of what the state is multiplied with before each key",
            });
        }
        if self.rule.delta {
            tensors.push(TensorSpec {
                name: "beta",
                learned: false,
                shape: by_key,
                init: Init::Constant(0.5),
                summary: "how far each key's value is brought to its own",
            });
        }
        tensors
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        matrix::scratch_bytes(&self.rule, geometry, threads)
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        matrix::backward_scratch_bytes(&self.rule, geometry, threads)
    }

    /// 2·D·Dv operations for a key that is written and as many for a query that reads, 2·(D + Dv) for
    /// half of the pairs inside chunks; the delta rule reads by every key too.
    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let shape = geometry.shape();
        let (d, dv) = (shape.d as u64, shape.dv as u64);
        let outside = 2 * d * dv;
        let inside = (d + dv) * CHUNK as u64;
        let key_reads = u64::from(self.rule.delta);
        let mut flops = 0;
        for s in 0..shape.b {
            let mask = geometry.sequence(s);
            let last = mask.queries().checked_sub(1);
            let keys = last.map_or(0, |last| mask.span(last).end) as u64;
            let queries = mask.queries() as u64;
            flops += shape.hkv as u64 * keys * (outside + key_reads * (outside + inside));
            flops += shape.h as u64 * queries * (outside + inside);
        }
        Cost {
            flops,
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
        let logs = support::side(problem, "log_decay", (sequence, key_head));
        let beta = support::side(problem, "beta", (sequence, key_head));
        let d = head.q.ncols();
        let unit = |x: Array1<f64>| match self.rule.delta {
            true => &x / (x.dot(&x) + f64::from(super::ops::UNIT_FLOOR)).sqrt(),
            false => x,
        };
        let decay = |j: usize, row: usize| match self.rule.decays {
            Decays::None => 1.0,
            Decays::Heads => 1.0 - (-5.0 - key_head as f64).exp2(),
            Decays::Keys => f64::from(logs[j]).exp(),
            Decays::Lanes => f64::from(logs[j * d + row]).exp(),
        };
        Ok(form::walk(&head, rows, unit, |state, j| {
            for (row, mut entries) in state.outer_iter_mut().enumerate() {
                entries *= decay(j, row);
            }
            let k = unit(head.k.row(j).mapv(f64::from));
            let mut u = head.v.row(j).mapv(f64::from);
            if self.rule.delta {
                u = (u - k.dot(state)) * f64::from(beta[j]);
            }
            form::add_outer(state, &k, &u);
        }))
    }

    /// Sums of products that may cancel, of up to 64 decays' worth of keys: 64·ε at any size.
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
        matrix::backward(&self.rule, problem, d_o, out, workers, scratch);
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
        matrix::prepare(self.name, &self.rule, problem, workers, check)
    }
}
