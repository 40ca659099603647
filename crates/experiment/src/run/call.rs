//! One call of a pass, and what it works on.

use crate::pass::Pass;
use attention::{Attention, Gradients, Output, Prepared, Problem, Result, Scratch, Workers};
use ndarray::{Array4, ArrayView4};

/// What every variant of a group is given.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) problem: &'a Problem<'a>,
    /// Q `[B, H, Nq, D]`, for whoever has seen K and V before.
    pub(super) queries: ArrayView4<'a, f32>,
    /// What a call computes.
    pub(super) pass: Pass,
    pub(super) workers: &'a Workers,
}

/// Where a call writes: shared by the variants of a group, so that none has its own in the caches.
pub(super) struct Room {
    pub(super) output: Output,
    pub(super) gradients: Option<Gradients>,
    pub(super) scratch: Scratch,
}

impl Room {
    /// Room for the pass, filled with NaN.
    pub(super) fn new(given: &Given<'_>) -> Self {
        let training = given.pass == Pass::Training;
        let mut room = Self {
            output: Output::poisoned(given.problem.geometry(), training),
            gradients: training.then(|| Gradients::zeros(given.problem)),
            scratch: Scratch::new(),
        };
        room.poison();
        room
    }

    /// Fills everything with NaN again.
    pub(super) fn poison(&mut self) {
        self.output.poison();
        if let Some(gradients) = &mut self.gradients {
            gradients.fill(f32::NAN);
        }
    }
}

/// A variant, ready to be called.
pub(super) struct Call<'a> {
    variant: Box<dyn Attention>,
    /// The group's problem, with the tensors that the variant needs beside it.
    pub(super) problem: &'a Problem<'a>,
    /// Its keys and values, where the pass asks somebody who has seen them before.
    absorbed: Option<Box<dyn Prepared>>,
}

impl<'a> Call<'a> {
    /// Makes a variant ready: for decode, by absorbing keys and values.
    ///
    /// # Errors
    /// Those of [`Attention::prepare`].
    pub(super) fn new(
        variant: Box<dyn Attention>,
        problem: &'a Problem<'a>,
        given: &Given<'_>,
    ) -> Result<Self> {
        let absorbed = (given.pass == Pass::Decode)
            .then(|| variant.prepare(problem, given.workers))
            .transpose()?;
        Ok(Self {
            variant,
            problem,
            absorbed,
        })
    }

    pub(super) fn variant(&self) -> &dyn Attention {
        self.variant.as_ref()
    }

    /// Working memory in bytes that a call takes.
    pub(super) fn scratch_bytes(&self, given: &Given<'_>) -> u64 {
        let (geometry, threads) = (self.problem.geometry(), given.workers.threads());
        given.pass.scratch_bytes(self.variant(), geometry, threads)
    }

    /// Bytes of absorbed keys and values.
    pub(super) fn absorbed_bytes(&self) -> u64 {
        self.absorbed
            .as_ref()
            .map_or(0, |prepared| prepared.bytes())
    }

    /// Computes what the pass asks for; `d_o` is read by training alone.
    ///
    /// # Errors
    /// Those of the variant.
    pub(super) fn run(
        &self,
        given: &Given<'_>,
        d_o: Option<&Array4<f32>>,
        room: &mut Room,
    ) -> Result<()> {
        let (variant, problem, workers) = (&self.variant, self.problem, given.workers);
        if let Some(prepared) = &self.absorbed {
            let out = room.output.view_mut();
            return prepared.forward(given.queries, out, workers, &mut room.scratch);
        }
        variant.forward(problem, room.output.view_mut(), workers, &mut room.scratch)?;
        match (d_o, &mut room.gradients) {
            (Some(d_o), Some(gradients)) => {
                let (saved, scratch) = (&room.output, &mut room.scratch);
                variant.backward(problem, saved, d_o.view(), gradients, workers, scratch)
            }
            _ => Ok(()),
        }
    }
}
