//! The trait that every variant implements.
//!
//! Two methods are required: what a variant can do, and forward. The rest has a default that is
//! right for exact attention, so that an exact kernel is complete with two methods, while an
//! approximation also states its own slow form in f64, against which its kernel is gated.
//!
//! The calls take what they need explicitly, workers and scratch included, for three reasons: inner
//! loops allocate nothing, memory can be foretold, and threads are an axis of every experiment
//! rather than a global.

use crate::capabilities::{Capabilities, Feature};
use crate::cost::Cost;
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::gradients::Gradients;
use crate::mask::Mask;
use crate::oracle;
use crate::output::{Output, OutputMut};
use crate::problem::Problem;
use crate::scratch::Scratch;
use crate::tensors::TensorSpec;
use crate::workers::Workers;
use ndarray::{Array2, ArrayView4, ArrayViewD};

/// A variant in f64 for some query rows of one history and head.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// `[rows, Dv]`.
    pub output: Array2<f64>,
    /// `[rows, Nk]`: what each value is multiplied with, where the variant is linear in V. They may
    /// be negative and need not sum to one.
    pub weights: Option<Array2<f64>>,
}

/// Keys and values absorbed once: an index, a packed copy or a state.
///
/// It stands for the problem that it was prepared from, with its mask, scale and bias, as that grows:
/// an appended key brings a query along. Alignments, bottom-right ones too, keep the offset that they
/// had; padding behind key lengths is dropped, from the queries of its history as well. So after a
/// prompt of N keys and N queries and one appended key, a single query is query N and sees keys up to
/// N, whatever the alignment. Dense and block masks and a dense bias have a row for each query and a
/// column for each key: such a problem is asked with all its queries, and cannot grow.
pub trait Prepared: Send + Sync {
    /// Answers queries `[B, H, Nq, D]`, which are the problem's last; where there are more of them
    /// than it has, they begin at its first. O is `[B, H, Nq, Dv]`.
    ///
    /// # Errors
    /// As for [`Attention::forward`], and [`Error::Shape`] where a mask or bias needs all queries.
    fn forward(
        &self,
        q: ArrayView4<'_, f32>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()>;

    /// Appends keys `[B, Hkv, n, D]` and values `[B, Hkv, n, Dv]` behind the last of each history.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not fit what was prepared; nothing is appended then.
    fn append(&mut self, k: ArrayView4<'_, f32>, v: ArrayView4<'_, f32>) -> Result<()>;

    /// As [`append`](Self::append), with the side inputs of the appended keys by name (gates, steps), in
    /// the shapes that the variant declares for n keys; without those that it needs, `append` is an
    /// error. Variants that need none take none.
    ///
    /// # Errors
    /// As for [`append`](Self::append), and [`Error::Tensor`] for a side input that is missing or does
    /// not fit.
    fn append_with(
        &mut self,
        k: ArrayView4<'_, f32>,
        v: ArrayView4<'_, f32>,
        tensors: &[(&'static str, ArrayViewD<'_, f32>)],
    ) -> Result<()> {
        let _ = tensors;
        self.append(k, v)
    }

    /// Bytes held.
    fn bytes(&self) -> u64;
}

/// An attention variant: O from Q, K, V under a problem mask.
///
/// All shapes as in [`Problem`]. The same problem gives the same bits for any number of workers. A
/// fully masked row has O = 0 and L = -inf. What is masked cannot change an output, even if NaN.
pub trait Attention: Send + Sync {
    /// What the variant supports, and why not the rest.
    fn capabilities(&self) -> Capabilities;

    /// Writes O `[B, H, Nq, Dv]`, and L `[B, H, Nq]` where `out` has room for it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what [`capabilities`](Self::capabilities) excludes,
    /// [`Error::Shape`] and [`Error::Stride`] for outputs that do not fit.
    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()>;

    /// The keys that the variant chooses to look at, whatever the values of Q and K.
    ///
    /// # Errors
    /// [`Error::Parameter`] where the pattern does not fit the geometry.
    fn pattern(&self, geometry: &Geometry) -> Result<Option<Mask>> {
        let _ = geometry;
        Ok(None)
    }

    /// Side inputs and learned parameters.
    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        let _ = geometry;
        Vec::new()
    }

    /// Working memory in bytes that a forward call on `threads` workers takes.
    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let _ = (geometry, threads);
        0
    }

    /// Working memory in bytes that a backward call on `threads` workers takes.
    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let _ = (geometry, threads);
        0
    }

    /// What a forward call costs. The default is that of exact attention over mask and pattern.
    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let pairs = self.scored_pairs(geometry);
        Cost::of_pairs(geometry, pairs, self.scratch_bytes(geometry, threads))
    }

    /// (query, key) pairs that enter an output, over all histories and heads.
    fn scored_pairs(&self, geometry: &Geometry) -> u64 {
        match self.pattern(geometry) {
            Ok(Some(pattern)) => geometry
                .with_pattern(&pattern)
                .map_or(0, |patterned| patterned.visible_pairs()),
            _ => geometry.visible_pairs(),
        }
    }

    /// The variant in f64 for `rows` of one history and head, from the same f32 inputs: slow and
    /// plain. The default is softmax attention under mask and pattern; an approximation gives its
    /// own.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    fn form_f64(
        &self,
        problem: &Problem<'_>,
        sequence: usize,
        head: usize,
        rows: &[usize],
    ) -> Result<Form> {
        match self.pattern(problem.geometry())? {
            None => Ok(oracle::rows(&problem.head(sequence, head), rows).into()),
            Some(pattern) => {
                let patterned = problem.patterned(&pattern)?;
                Ok(oracle::rows(&patterned.head(sequence, head), rows).into())
            }
        }
    }

    /// The relative Frobenius error against [`form_f64`](Self::form_f64) within which the kernel
    /// must stay, given the largest |score|: 8·ε·max|S|, and no less than 2e-6.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        (8.0 * f64::from(f32::EPSILON) * max_abs_score).max(2e-6)
    }

    /// Writes the gradients by recomputation from L, whatever stood in `out` before; `saved` is what
    /// forward wrote, with L; `d_o` is `[B, H, Nq, Dv]`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the variant has [`Feature::Backward`], and for what forward
    /// would refuse; [`Error::Shape`] and [`Error::Stride`] for tensors that do not fit
    /// ([`Capabilities::admit_backward`]).
    fn backward(
        &self,
        problem: &Problem<'_>,
        saved: &Output,
        d_o: ArrayView4<'_, f32>,
        out: &mut Gradients,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let _ = (problem, saved, d_o, out, workers, scratch);
        Err(unsupported(self.capabilities(), Feature::Backward))
    }

    /// Absorbs the keys and values of `problem` once, to answer many queries later.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless the variant has [`Feature::Prepare`], and for a problem with
    /// dropout ([`Capabilities::admit_prepare`]).
    fn prepare(&self, problem: &Problem<'_>, workers: &Workers) -> Result<Box<dyn Prepared>> {
        let _ = (problem, workers);
        Err(unsupported(self.capabilities(), Feature::Prepare))
    }
}

fn unsupported(capabilities: Capabilities, feature: Feature) -> Error {
    let reason = capabilities.missing(feature).unwrap_or("not implemented");
    Error::Unsupported {
        variant: capabilities.variant,
        what: feature.name().into(),
        reason,
    }
}
