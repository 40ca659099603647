//! A variant that brings its own side inputs and parameters, as they begin, to every problem.

use crate::attention::{Attention, Form, Prepared};
use crate::capabilities::Capabilities;
use crate::cost::Cost;
use crate::error::Result;
use crate::geometry::Geometry;
use crate::gradients::Gradients;
use crate::mask::Mask;
use crate::output::{Output, OutputMut};
use crate::problem::Problem;
use crate::scratch::Scratch;
use crate::tensors::{TensorSpec, Tensors};
use crate::workers::Workers;
use ndarray::ArrayView4;

/// Of the tensors as they begin; any will do.
pub(super) const SEED: u64 = 1;

/// Most checks ask for Q, K and V alone; what a variant needs beside them is put in here. What a check
/// gives itself stays.
pub(super) struct Supplied<'a>(pub(super) &'a dyn Attention);

impl Supplied<'_> {
    fn as_they_begin(&self, problem: &Problem<'_>) -> Tensors {
        Tensors::of(self.0, problem.geometry(), SEED)
    }
}

impl Attention for Supplied<'_> {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let tensors = self.as_they_begin(problem);
        let problem = problem.supplied(&tensors);
        self.0.forward(&problem, out, workers, scratch)
    }

    fn pattern(&self, geometry: &Geometry) -> Result<Option<Mask>> {
        self.0.pattern(geometry)
    }

    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        self.0.tensors(geometry)
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        self.0.scratch_bytes(geometry, threads)
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        self.0.backward_scratch_bytes(geometry, threads)
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        self.0.cost(geometry, threads)
    }

    fn scored_pairs(&self, geometry: &Geometry) -> u64 {
        self.0.scored_pairs(geometry)
    }

    fn form_f64(
        &self,
        problem: &Problem<'_>,
        sequence: usize,
        head: usize,
        rows: &[usize],
    ) -> Result<Form> {
        let tensors = self.as_they_begin(problem);
        let problem = problem.supplied(&tensors);
        self.0.form_f64(&problem, sequence, head, rows)
    }

    fn error_budget(&self, max_abs_score: f64) -> f64 {
        self.0.error_budget(max_abs_score)
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
        let tensors = self.as_they_begin(problem);
        let problem = problem.supplied(&tensors);
        for (name, tensor) in problem.tensors() {
            let gradient = out.tensors.entry(name);
            gradient.or_insert_with(|| ndarray::ArrayD::zeros(tensor.shape()));
        }
        self.0.backward(&problem, saved, d_o, out, workers, scratch)
    }

    fn prepare(&self, problem: &Problem<'_>, workers: &Workers) -> Result<Box<dyn Prepared>> {
        let tensors = self.as_they_begin(problem);
        self.0.prepare(&problem.supplied(&tensors), workers)
    }
}
