//! A format as a variant of attention.

use super::{Offset, Task, forward};
use crate::decode::{Precision, prepare_on};
use crate::simd::Isa;
use attention::{
    Attention, Capabilities, Feature, Form, Geometry, Head, HeadBias, OutputMut, Prepared, Problem,
    Result, Scratch, Variant, Workers, oracle,
};
use ndarray::Array2;

/// What a format does its own way.
pub(crate) trait Format: Send + Sync + 'static {
    /// The variant that it is registered as.
    const VARIANT: &'static Variant;

    /// What a cache of keys and values holds.
    const CACHE: Precision;

    /// The vectors that a cache is read with.
    fn isa(&self) -> Isa;
    /// What is taken from every key before it is rounded.
    fn offset(&self) -> Offset;
    /// Runs a task on the format's code path.
    fn run(&self, task: Task<'_, '_, '_>);
    /// Working memory of one worker, in floats.
    fn scratch_floats(&self, d: usize, dv: usize) -> usize;
    /// Rows of attention in f64 on the rounded inputs.
    fn form(&self, head: &Head<'_>, rows: &[usize]) -> Form;
}

/// Attention in a format.
pub(crate) struct Narrow<F>(pub(crate) F);

impl<F: Format> Attention for Narrow<F> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all(F::VARIANT.name, false)
            .without(
                Feature::Backward,
                "gradients want f32; `blocked` is for training",
            )
            .without(
                Feature::Dropout,
                "dropout is for training, as gradients are",
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
        let shape = problem.shape();
        let floats = self.0.scratch_floats(shape.d, shape.dv);
        let offset = self.0.offset();
        forward(problem, out, workers, scratch, floats, offset, |task| {
            self.0.run(task)
        });
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let shape = geometry.shape();
        Scratch::bytes_for(threads, self.0.scratch_floats(shape.d, shape.dv))
    }

    fn prepare(&self, problem: &Problem<'_>, workers: &Workers) -> Result<Box<dyn Prepared>> {
        self.capabilities().admit_prepare(problem)?;
        Ok(prepare_on(self.0.isa(), F::CACHE, problem, workers))
    }

    fn form_f64(
        &self,
        problem: &Problem<'_>,
        sequence: usize,
        head: usize,
        rows: &[usize],
    ) -> Result<Form> {
        Ok(self.0.form(&problem.head(sequence, head), rows))
    }

    /// What is left against the form is the rounding of weights to bf16, half a unit in eight bits each at
    /// worst, and the rounding of scores in f32.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        1.0 / 256.0 + 8.0 * f64::from(f32::EPSILON) * max_abs_score
    }
}

/// Rows of exact attention in f64 on other queries, keys and values than the head's.
pub(crate) fn exact_on(
    head: &Head<'_>,
    [q, k, v]: [&Array2<f32>; 3],
    rows: &[usize],
) -> oracle::ExactRows {
    let bias = head.bias.as_ref().map(|bias| match bias {
        HeadBias::Dense(table) => HeadBias::Dense(table.view()),
        HeadBias::Relative(table) => HeadBias::Relative(table.view()),
    });
    let other = Head {
        sequence: head.sequence,
        head: head.head,
        q: q.view(),
        k: k.view(),
        v: v.view(),
        mask: head.mask,
        scale: head.scale,
        bias,
        dropout: head.dropout,
    };
    oracle::rows(&other, rows)
}
