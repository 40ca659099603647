//! φ(x) = elu(x) + 1, of Katharopoulos et al. 2020.

#![allow(unsafe_code)]

use super::elementwise::{Elementwise, Function};
use crate::feature::map::{Extent, LEAST_SUM};
use crate::feature::variant::{Definition, ISA, Linear};
use crate::form;
use attention::numeric::LOG2_E;
use attention::simd::Vector;
use attention::variant::{Family, Variant};
use attention::{Head, Problem};
use ndarray::Array2;

/// Attention with φ(x) = elu(x) + 1, weights φ(q)·φ(k) over their sum.
///
/// The paper applies φ to q and k as they are: there is no temperature, and the problem's `scale`
/// has no effect. A row's sum below 1e-10 counts as 1e-10, so that a query all of whose features
/// vanish answers 0.
///
/// Source: Katharopoulos et al., Transformers are RNNs, ICML 2020, equations 5, 7 and 9 (causal).
/// Cost: O(N·D·Dv) time, state D·(Dv + 1).
pub static VARIANT: Variant = Variant {
    name: "linear-elu",
    family: Family::Linear,
    summary: "linear attention with elu(x) + 1 as feature map; ignores the scale",
    time: "O(N·D²)",
    state: "D·(Dv + 1)",
    source: "Katharopoulos et al., Transformers are RNNs, ICML 2020, eq. 7",
    parameters: &[ISA],
    build: |parameters| Linear::build(parameters, Elu),
};

struct Elu;

impl Function for Elu {
    /// With r = max(x, 0), r + exp(x - r) is x + 1 above zero and exp(x) below.
    #[inline(always)]
    unsafe fn value<V: Vector>(x: V) -> V {
        // SAFETY: the trait's contract.
        unsafe {
            let above = x.max(V::splat(0.0));
            let low = x.sub(above).mul(V::splat(LOG2_E)).exp2();
            above.add(low)
        }
    }

    #[inline(always)]
    unsafe fn slope<V: Vector>(x: V, value: V) -> V {
        // SAFETY: the trait's contract.
        unsafe { x.select_greater(V::splat(0.0), V::splat(1.0), value) }
    }
}

impl Definition for Elu {
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
        let feature = |x: f64| if x > 0.0 { x + 1.0 } else { x.exp() };
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
