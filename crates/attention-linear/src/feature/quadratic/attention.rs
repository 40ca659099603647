//! The variants of this family, as the contract asks for them.

use super::rule::Rule;
use super::{backward, form, forward, prepared};
use crate::support;
use ::attention::simd::Isa;
use ::attention::tensors::expect_tensors;
use ::attention::variant::Parameters;
use ::attention::{
    Attention, Capabilities, Cost, Error, Form, Geometry, Gradients, Output, OutputMut, Prepared,
    Problem, Result, Scratch, TensorSpec, Workers,
};
use ndarray::ArrayView4;

/// A rule on an instruction set.
#[derive(Clone, Copy)]
pub(super) struct Quadratic {
    pub(super) isa: Isa,
    pub(super) rule: Rule,
}

impl Quadratic {
    /// A rule on the instruction set that the parameter `isa` names.
    ///
    /// # Errors
    /// Where the machine does not have it.
    pub(super) fn build(parameters: &Parameters, rule: Rule) -> Result<Box<dyn Attention>> {
        let isa = Isa::named(parameters.word("isa"))?;
        Ok(Box::new(Self { isa, rule }))
    }
}

/// The blocks of 64 keys of a window of so many keys.
///
/// # Errors
/// Where these are no whole blocks.
pub(super) fn whole_blocks(window: usize) -> Result<usize> {
    if window.is_multiple_of(64) {
        return Ok(window / 64);
    }
    Err(Error::Parameter {
        parameter: "window",
        value: window.to_string(),
        expected: "a multiple of 64: windows are whole blocks of keys".into(),
    })
}

impl Attention for Quadratic {
    fn capabilities(&self) -> Capabilities {
        support::linear(self.rule.name)
    }

    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        self.rule.tensors(geometry)
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
        forward::forward(self.isa, &self.rule, problem, out, workers, scratch);
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
        let capabilities = self.capabilities();
        capabilities.admit_backward(problem, saved, &d_o, out)?;
        expect_tensors(self, problem)?;
        let given = backward::Given {
            problem,
            o: saved.o.view(),
            d_o,
        };
        backward::backward(self.isa, &self.rule, &given, out, workers, scratch);
        Ok(())
    }

    fn prepare(&self, problem: &Problem<'_>, workers: &Workers) -> Result<Box<dyn Prepared>> {
        self.capabilities().admit_prepare(problem)?;
        expect_tensors(self, problem)?;
        Ok(prepared::prepare(self, problem, workers))
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        forward::scratch_bytes(&self.rule, geometry, threads)
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        backward::scratch_bytes(&self.rule, geometry, threads)
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        Cost {
            flops: forward::flops(&self.rule, geometry),
            bytes: geometry.shape().tensor_bytes(),
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
        let head = problem.head(sequence, head);
        let weights = form::weights(&self.rule, problem, &head, rows);
        Ok(crate::form::output(&head, rows, weights))
    }

    /// Scores are rounded, and exponentials of theirs with them: 8·ε·max|S|. Where keys lie before a
    /// query's own block, terms of either sign add up to a square: 100·ε.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        f64::from(f32::EPSILON) * (8.0 * max_abs_score).max(100.0)
    }
}
