//! One problem of random inputs, ready to be called again and again.

use crate::Fault;
use attention::{
    Attention, Geometry, Gradients, Mask, Output, Problem, Scratch, Workers, mask::Alignment,
};
use attention_variants::Configured;
use ndarray::Array4;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::time::Instant;

/// Q, K, V and dO of standard normal entries.
pub(crate) struct Tensors {
    q: Array4<f32>,
    k: Array4<f32>,
    v: Array4<f32>,
    d_o: Array4<f32>,
}

impl Tensors {
    /// Queries `[1, H, Nq, D]`, keys and values `[1, H, Nk, D]`.
    pub(crate) fn new(h: usize, nq: usize, nk: usize, d: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(20);
        let mut tensor =
            |n| Array4::from_shape_simple_fn((1, h, n, d), || StandardNormal.sample(&mut rng));
        Self {
            q: tensor(nq),
            k: tensor(nk),
            v: tensor(nk),
            d_o: tensor(nq),
        }
    }

    pub(crate) fn problem(&self, mask: Mask) -> attention::Result<Problem<'_>> {
        Problem::new(self.q.view(), self.k.view(), self.v.view())?.with_mask(mask)
    }
}

/// A causal mask whose sides are equal.
pub(crate) fn causal() -> Mask {
    Mask::causal(Alignment::TopLeft)
}

/// `blocked` on one problem: memory is taken once, before the first call.
pub(crate) struct Call<'a> {
    attention: Box<dyn Attention>,
    problem: Problem<'a>,
    d_o: &'a Array4<f32>,
    output: Output,
    gradients: Gradients,
    workers: Workers,
    scratch: Scratch,
}

impl<'a> Call<'a> {
    pub(crate) fn new(tensors: &'a Tensors, mask: Mask, threads: usize) -> Result<Self, Fault> {
        let attention = Configured::new("blocked", [])?.build()?;
        let problem = tensors.problem(mask)?;
        let mut scratch = Scratch::new();
        let geometry: &Geometry = problem.geometry();
        scratch.reserve(attention.scratch_bytes(geometry, threads));
        scratch.reserve(attention.backward_scratch_bytes(geometry, threads));
        Ok(Self {
            output: Output::poisoned(geometry, true),
            gradients: Gradients::zeros(&problem),
            d_o: &tensors.d_o,
            workers: Workers::new(threads)?,
            attention,
            problem,
            scratch,
        })
    }

    /// Seconds of a forward call.
    pub(crate) fn forward(&mut self) -> Result<f64, Fault> {
        let start = Instant::now();
        let out = self.output.view_mut();
        self.attention
            .forward(&self.problem, out, &self.workers, &mut self.scratch)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Seconds of a backward call, after a forward one.
    pub(crate) fn backward(&mut self) -> Result<f64, Fault> {
        let start = Instant::now();
        self.attention.backward(
            &self.problem,
            &self.output,
            self.d_o.view(),
            &mut self.gradients,
            &self.workers,
            &mut self.scratch,
        )?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// (query, key) pairs that the problem's mask lets see each other, over all heads.
    pub(crate) fn pairs(&self) -> f64 {
        self.problem.geometry().visible_pairs() as f64
    }

    /// Bytes of scratch held.
    pub(crate) fn scratch_bytes(&self) -> u64 {
        self.scratch.bytes()
    }
}
