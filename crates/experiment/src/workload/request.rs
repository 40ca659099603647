//! One history before it is laid into a batch.

use crate::data::Log;
use crate::tensors::Qkv;
use ndarray::{Array2, Array3, ArrayViewMut2, Axis};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Sizes and streams of one history.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Seed of the experiment.
    pub seed: u64,
    /// Index of the history in its batch.
    pub history: usize,
    /// H.
    pub h: usize,
    /// Hkv.
    pub hkv: usize,
    /// Queries; they stand at the history's end.
    pub nq: usize,
    /// Keys: the history's length.
    pub nk: usize,
    /// D.
    pub d: usize,
    /// Dv.
    pub dv: usize,
    /// Interaction log and the user whose history this is.
    pub log: Option<(&'a Log, usize)>,
    /// Tensors of a file.
    pub tensors: Option<&'a Qkv>,
}

/// Q, K and V of one history.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// `[H, Nq, D]`.
    pub q: Array3<f32>,
    /// `[Hkv, Nk, D]`.
    pub k: Array3<f32>,
    /// `[Hkv, Nk, Dv]`.
    pub v: Array3<f32>,
}

impl Request<'_> {
    /// The stream of one tensor or choice of this history.
    pub(super) fn stream(&self, name: &str, head: usize) -> ChaCha8Rng {
        crate::hash::stream(self.seed, name, &[self.history, head])
    }

    /// A stream that all histories of the experiment share: centres, items.
    pub(super) fn shared(&self, name: &str, head: usize) -> ChaCha8Rng {
        crate::hash::stream(self.seed, name, &[head])
    }

    /// A stream that all heads share too: rotations.
    pub(super) fn shared_stream(&self, name: &str) -> ChaCha8Rng {
        crate::hash::stream(self.seed, name, &[])
    }

    /// The position of query `i` among the keys.
    pub(super) fn position(&self, i: usize) -> usize {
        (i + self.nk).saturating_sub(self.nq)
    }

    /// The key head that query head `h` reads.
    pub(super) fn key_head(&self, h: usize) -> usize {
        h / (self.h / self.hkv)
    }

    /// A history filled head by head: `query(h, [Nq, D])`, `key(h, [Nk, D])`, `value(h, [Nk, Dv])`.
    pub(super) fn build(
        &self,
        mut query: impl FnMut(usize, ArrayViewMut2<'_, f32>),
        mut key: impl FnMut(usize, ArrayViewMut2<'_, f32>),
        mut value: impl FnMut(usize, ArrayViewMut2<'_, f32>),
    ) -> History {
        let mut history = History {
            q: Array3::zeros((self.h, self.nq, self.d)),
            k: Array3::zeros((self.hkv, self.nk, self.d)),
            v: Array3::zeros((self.hkv, self.nk, self.dv)),
        };
        history
            .q
            .axis_iter_mut(Axis(0))
            .enumerate()
            .for_each(|(h, q)| query(h, q));
        history
            .k
            .axis_iter_mut(Axis(0))
            .enumerate()
            .for_each(|(h, k)| key(h, k));
        history
            .v
            .axis_iter_mut(Axis(0))
            .enumerate()
            .for_each(|(h, v)| value(h, v));
        history
    }
}

/// Adds independent normal entries of standard deviation `scale`.
pub(super) fn add_normal(rng: &mut ChaCha8Rng, scale: f32, mut out: ArrayViewMut2<'_, f32>) {
    out.mapv_inplace(|x| {
        let z: f32 = StandardNormal.sample(rng);
        x + scale * z
    });
}

/// A matrix of independent standard normal entries.
pub(super) fn normal(rng: &mut ChaCha8Rng, rows: usize, columns: usize) -> Array2<f32> {
    let mut matrix = Array2::zeros((rows, columns));
    add_normal(rng, 1.0, matrix.view_mut());
    matrix
}
