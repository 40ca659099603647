//! What turns a feature map into an attention variant.

use super::engine::Engine;
use super::map::{Extent, FeatureMap};
use super::prepared;
use crate::{form, support};
use attention::simd::Isa;
use attention::tensors::expect_tensors;
use attention::variant::{Kind, Parameter, Parameters, Value};
use attention::{
    Attention, Capabilities, Cost, Form, Geometry, Gradients, Head, Output, OutputMut, Prepared,
    Problem, Result, Scratch, TensorSpec, Workers,
};
use ndarray::{Array2, ArrayView4};
use std::sync::Arc;

/// The parameter that every variant of this family has.
pub(crate) const ISA: Parameter = Parameter {
    name: "isa",
    kind: Kind::Word(&["auto", "avx512", "avx2", "portable"]),
    default: Value::Word("auto"),
    summary: "the instruction set to run on; auto takes the best there is",
};

/// A feature map, its normaliser, and the slow form of its weights.
pub(crate) trait Definition: Send + Sync + 'static {
    /// φ for one problem.
    type Map<'a>: FeatureMap;

    /// The variant's registered name.
    fn name(&self) -> &'static str;

    /// What it supports.
    fn capabilities(&self) -> Capabilities {
        support::linear(self.name())
    }

    /// Keys that a prepared state may hold, where that is bounded.
    fn longest_state(&self) -> Option<usize> {
        None
    }

    /// Sizes of the map for head dimension D.
    fn extent(&self, d: usize) -> Extent;

    /// The map for a problem whose tensors have been checked.
    fn map<'a>(&'a self, problem: &'a Problem<'_>) -> Self::Map<'a>;

    /// What multiplies O.
    fn factor(&self, _scale: f32) -> f32 {
        1.0
    }

    /// Side inputs and learned parameters.
    fn tensors(&self, _geometry: &Geometry) -> Vec<TensorSpec> {
        Vec::new()
    }

    /// The weights of some rows of one head in f64 `[rows, Nk]`: plain, and by no code of the
    /// engine.
    fn weights(&self, problem: &Problem<'_>, head: &Head<'_>, rows: &[usize]) -> Array2<f64>;

    /// As [`Attention::error_budget`].
    fn error_budget(&self, max_abs_score: f64) -> f64;
}

/// The attention of a definition.
pub(crate) struct Linear<D> {
    isa: Isa,
    pub(super) definition: Arc<D>,
}

impl<D> Clone for Linear<D> {
    fn clone(&self) -> Self {
        Self {
            isa: self.isa,
            definition: Arc::clone(&self.definition),
        }
    }
}

impl<D: Definition> Linear<D> {
    /// A definition on the instruction set that the parameter `isa` names.
    ///
    /// # Errors
    /// Where the machine does not have it.
    pub(crate) fn build(parameters: &Parameters, definition: D) -> Result<Box<dyn Attention>> {
        Ok(Box::new(Self {
            isa: Isa::named(parameters.word("isa"))?,
            definition: Arc::new(definition),
        }))
    }

    pub(super) fn engine<'m>(&self, problem: &Problem<'_>, map: &'m dyn FeatureMap) -> Engine<'m> {
        Engine {
            isa: self.isa,
            map,
            extent: self.definition.extent(problem.shape().d),
            factor: self.definition.factor(problem.scale()),
        }
    }
}

impl<D: Definition> Attention for Linear<D> {
    fn capabilities(&self) -> Capabilities {
        self.definition.capabilities()
    }

    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        self.definition.tensors(geometry)
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
        let map = self.definition.map(problem);
        self.engine(problem, &map)
            .forward(problem, out, workers, scratch);
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
        let names: Vec<_> = self
            .tensors(problem.geometry())
            .iter()
            .map(|t| t.name)
            .collect();
        let map = self.definition.map(problem);
        let engine = self.engine(problem, &map);
        engine.backward(problem, saved.o.view(), d_o, out, &names, workers, scratch);
        Ok(())
    }

    fn prepare(&self, problem: &Problem<'_>, workers: &Workers) -> Result<Box<dyn Prepared>> {
        self.capabilities().admit_prepare(problem)?;
        expect_tensors(self, problem)?;
        prepared::prepare(self, problem, workers)
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let extent = self.definition.extent(geometry.shape().d);
        Engine::scratch_bytes(extent, geometry, threads)
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let extent = self.definition.extent(geometry.shape().d);
        Engine::backward_scratch_bytes(extent, geometry, threads)
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let extent = self.definition.extent(geometry.shape().d);
        Engine::cost(extent, geometry, threads)
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
        let weights = self.definition.weights(problem, &head, rows);
        Ok(form::output(&head, rows, weights))
    }

    fn error_budget(&self, max_abs_score: f64) -> f64 {
        self.definition.error_budget(max_abs_score)
    }
}
