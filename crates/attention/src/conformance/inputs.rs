//! Seeded tensors for the checks.

use crate::error::Result;
use crate::problem::Problem;
use crate::shape::Shape;
use ndarray::{Array, Array4, Dimension, ShapeBuilder};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Owned Q, K and V.
#[derive(Debug, Clone)]
pub(super) struct Tensors {
    pub(super) q: Array4<f32>,
    pub(super) k: Array4<f32>,
    pub(super) v: Array4<f32>,
}

impl Tensors {
    pub(super) fn new(shape: Shape, seed: u64) -> Self {
        let Shape {
            b,
            h,
            hkv,
            nq,
            nk,
            d,
            dv,
        } = shape;
        Self {
            q: normal((b, h, nq, d), seed),
            k: normal((b, hkv, nk, d), seed + 1),
            v: normal((b, hkv, nk, dv), seed + 2),
        }
    }

    pub(super) fn problem(&self) -> Result<Problem<'_>> {
        Problem::new(self.q.view(), self.k.view(), self.v.view())
    }
}

/// Standard normal entries.
pub(super) fn normal<D: Dimension, S: ShapeBuilder<Dim = D>>(shape: S, seed: u64) -> Array<f32, D> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng))
}

/// `[b, h, hkv, nq, nk, d, dv]` as a shape.
pub(super) fn shape([b, h, hkv, nq, nk, d, dv]: [usize; 7]) -> Shape {
    Shape {
        b,
        h,
        hkv,
        nq,
        nk,
        d,
        dv,
    }
}
