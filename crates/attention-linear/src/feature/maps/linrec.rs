//! LinRec: L2-normalised linear attention with signed weights.

#![allow(unsafe_code)]

use super::elementwise::{Function, apply, pull};
use super::unit::{pull_unit, scale_to_unit};
use crate::feature::kernels::LANES;
use crate::feature::map::{
    CHUNK, Extent, FeatureMap, Gradient, LEAST_NORM, Normaliser, Side, Tokens,
};
use crate::feature::variant::{Definition, ISA, Linear};
use crate::{form, support};
use attention::numeric::LOG2_E;
use attention::simd::{Isa, Vector};
use attention::variant::{Family, Kind, Parameter, Value, Variant};
use attention::{Capabilities, Feature, Head, Problem};
use ndarray::{Array2, Axis};

const PER_TOKEN: &str = "per-token";
const PAPER: &str = "paper";

/// O_i = scale·q̂_iᵀ Σ_j k̂_j v_jᵀ with q̂ = elu(q)/‖elu(q)‖₂.
///
/// `normalisation` says what k̂ is. `per-token`, as in the public code: elu(k_j)/‖elu(k_j)‖₂, full
/// and causal. `paper`: feature f of elu(k_j) over √n·‖feature f of all n visible keys‖₂, which
/// needs the whole history and therefore has no causal form. There is no row normaliser: weights
/// may be negative and need not sum to one. The problem's `scale` stands where the source divides
/// by √D. Norms below 1e-12 count as 1e-12, so that a token with elu(x) = 0 weighs nothing instead
/// of 0/0, which the public code leaves open.
///
/// Source: Liu et al., LinRec, SIGIR 2023 (arXiv 2411.01537), and the layers of its public code.
/// Cost: O(N·D·Dv) time, state D·Dv.
pub static VARIANT: Variant = Variant {
    name: "linrec",
    family: Family::Linear,
    summary: "LinRec: linear attention with L2-normalised elu features and signed weights",
    time: "O(N·D²)",
    state: "D·Dv",
    source: "Liu et al., LinRec, SIGIR 2023, arXiv 2411.01537",
    parameters: &[
        Parameter {
            name: "normalisation",
            kind: Kind::Word(&[PER_TOKEN, PAPER]),
            default: Value::Word(PER_TOKEN),
            summary: "keys by token (public code) or by feature over the history (paper, not causal)",
        },
        ISA,
    ],
    build: |parameters| {
        Linear::build(
            parameters,
            LinRec {
                by_column: parameters.word("normalisation") == PAPER,
            },
        )
    },
};

struct LinRec {
    by_column: bool,
}

/// The map for head dimension D.
struct Features {
    d: usize,
    by_column: bool,
}

/// elu(x).
struct Elu;

impl Function for Elu {
    /// With r = max(x, 0), r + expm1(x - r) is x above zero and expm1(x) below.
    #[inline(always)]
    unsafe fn value<V: Vector>(x: V) -> V {
        /// (e^x - 1 - x)/x² for |x| <= ln 2 / 2, after Cephes' expf, highest power first.
        const SMALL: [f32; 6] = [
            1.987_569_1e-4,
            1.398_2e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
        ];
        // SAFETY: the trait's contract.
        unsafe {
            let above = x.max(V::splat(0.0));
            let low = x.sub(above);
            let far = low.mul(V::splat(LOG2_E)).exp2().sub(V::splat(1.0));
            let mut near = V::splat(SMALL[0]);
            for c in &SMALL[1..] {
                near = near.mul_add(low, V::splat(*c));
            }
            let near = near.mul(low).mul_add(low, low);
            let bound = V::splat(-0.5 * std::f32::consts::LN_2);
            above.add(low.select_greater(bound, near, far))
        }
    }

    #[inline(always)]
    unsafe fn slope<V: Vector>(x: V, value: V) -> V {
        // SAFETY: the trait's contract.
        unsafe {
            let one = V::splat(1.0);
            x.select_greater(V::splat(0.0), one, value.add(one))
        }
    }
}

impl FeatureMap for Features {
    fn features(&self, isa: Isa, tokens: &Tokens<'_>, _work: &mut [f32], phi: &mut [f32]) {
        apply::<Elu>(isa, tokens, self.d, phi);
        if !(self.by_column && tokens.side == Side::Key) {
            scale_to_unit(isa, phi, tokens.count(), self.d, LEAST_NORM);
        }
    }

    /// Through x̂ = u/‖u‖: du = (dx̂ - x̂(x̂·dx̂))/‖u‖.
    fn pull_back(
        &self,
        isa: Isa,
        tokens: &Tokens<'_>,
        work: &mut [f32],
        gradient: Gradient<'_>,
        _learned: &mut [f32],
    ) {
        let Gradient { d_phi, dx, .. } = gradient;
        apply::<Elu>(isa, tokens, self.d, work);
        if !(self.by_column && tokens.side == Side::Key) {
            pull_unit(isa, (work, d_phi), tokens.count(), self.d, LEAST_NORM);
        }
        pull::<Elu>(isa, (tokens, self.d), work, d_phi, dx);
    }
}

impl Definition for LinRec {
    type Map<'a> = Features;

    fn name(&self) -> &'static str {
        VARIANT.name
    }

    fn capabilities(&self) -> Capabilities {
        let linear = support::linear(self.name());
        if self.by_column {
            linear.without(
                Feature::Causal,
                "normalisation = \"paper\" divides by norms over the whole history, the future \
                 included; use \"per-token\"",
            )
        } else {
            linear
        }
    }

    fn extent(&self, d: usize) -> Extent {
        Extent {
            work: CHUNK * d.next_multiple_of(LANES),
            normaliser: if self.by_column {
                Normaliser::KeyColumns
            } else {
                Normaliser::None
            },
            ..Extent::plain(d, 5 * d as u64)
        }
    }

    fn map<'a>(&'a self, problem: &'a Problem<'_>) -> Features {
        Features {
            d: problem.shape().d,
            by_column: self.by_column,
        }
    }

    fn factor(&self, scale: f32) -> f32 {
        scale
    }

    fn weights(&self, problem: &Problem<'_>, head: &Head<'_>, rows: &[usize]) -> Array2<f64> {
        let elu = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
        let mut phi_q = form::queries(head, rows).mapv(elu);
        let mut phi_k = head.k.mapv(|x| elu(f64::from(x)));
        divide_by_norms(&mut phi_q, Axis(0), usize::MAX, 1.0);
        if self.by_column {
            let n = rows.first().map_or(0, |&i| head.mask.span(i).end);
            divide_by_norms(&mut phi_k, Axis(1), n, (n as f64).sqrt());
        } else {
            divide_by_norms(&mut phi_k, Axis(0), usize::MAX, 1.0);
        }
        let products = form::products(head, rows, phi_q.view(), phi_k.view());
        products * f64::from(problem.scale())
    }

    /// Signed weights cancel, so that a short row may be much smaller than its terms: 80·ε.
    /// Measured on Gaussian inputs of 1 to 8192 keys: 3e-7.
    fn error_budget(&self, _max_abs_score: f64) -> f64 {
        80.0 * f64::from(f32::EPSILON)
    }
}

/// Divides every slice along `axis` by `factor` times the norm of its first `count` entries.
fn divide_by_norms(features: &mut Array2<f64>, axis: Axis, count: usize, factor: f64) {
    for mut slice in features.axis_iter_mut(axis) {
        let squares: f64 = slice.iter().take(count).map(|x| x * x).sum();
        let (norm, least) = (squares.sqrt(), f64::from(LEAST_NORM));
        let divisor = factor * if norm < least { least } else { norm };
        slice.mapv_inplace(|x| x / divisor);
    }
}
