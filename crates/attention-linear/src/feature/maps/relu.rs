//! φ(x) = max(x, 0).

#![allow(unsafe_code)]

use super::elementwise::{Elementwise, Function};
use crate::feature::map::{Extent, LEAST_SUM};
use crate::feature::variant::{Definition, ISA, Linear};
use crate::form;
use attention::simd::Vector;
use attention::variant::{Family, Variant};
use attention::{Head, Problem};
use ndarray::Array2;

/// Attention with φ(x) = max(x, 0), weights φ(q)·φ(k) over their sum.
///
/// There is no temperature, and the problem's `scale` has no effect. Features vanish on half of all
/// numbers: a row's sum below 1e-10 counts as 1e-10, so that a query that shares no feature with any
/// key answers 0.
///
/// Source: Qin et al., cosFormer, ICLR 2022, section 3.1 (its map without the re-weighting); Cai et
/// al., EfficientViT, ICCV 2023, eq. 2. Cost: O(N·D·Dv) time, state D·(Dv + 1).
pub static VARIANT: Variant = Variant {
    name: "linear-relu",
    family: Family::Linear,
    summary: "linear attention with max(x, 0) as feature map; ignores the scale",
    time: "O(N·D²)",
    state: "D·(Dv + 1)",
    source: "Cai et al., EfficientViT, ICCV 2023, eq. 2; Qin et al., cosFormer, ICLR 2022, sec. 3.1",
    parameters: &[ISA],
    build: |parameters| Linear::build(parameters, Relu),
};

pub(super) struct Relu;

impl Function for Relu {
    #[inline(always)]
    unsafe fn value<V: Vector>(x: V) -> V {
        // SAFETY: the trait's contract. In this order NaN stays NaN.
        unsafe { V::splat(0.0).max(x) }
    }

    #[inline(always)]
    unsafe fn slope<V: Vector>(x: V, _value: V) -> V {
        // SAFETY: the trait's contract.
        unsafe { x.select_greater(V::splat(0.0), V::splat(1.0), V::splat(0.0)) }
    }
}

impl Definition for Relu {
    type Map<'a> = Elementwise<Self>;

    fn name(&self) -> &'static str {
        VARIANT.name
    }

    fn extent(&self, d: usize) -> Extent {
        Self::Map::extent(d)
    }

    fn map<'a>(&'a self, problem: &'a Problem<'_>) -> Self::Map<'a> {
        Elementwise::new(problem.shape().d)
    }

    fn weights(&self, _problem: &Problem<'_>, head: &Head<'_>, rows: &[usize]) -> Array2<f64> {
        // NaN stays NaN.
        let feature = |x: f64| if x < 0.0 { 0.0 } else { x };
        let phi_q = form::queries(head, rows).mapv(feature);
        let phi_k = head.k.mapv(|x| feature(f64::from(x)));
        let mut weights = form::products(head, rows, phi_q.view(), phi_k.view());
        form::normalise_rows(&mut weights, f64::from(LEAST_SUM));
        weights
    }

    /// Weights are positive and there are no scores whose rounding an exponential could magnify:
    /// 16·ε at any size. Measured on Gaussian inputs of up to 8192 keys: 2e-7.
    fn error_budget(&self, _max_abs_score: f64) -> f64 {
        16.0 * f64::from(f32::EPSILON)
    }
}
