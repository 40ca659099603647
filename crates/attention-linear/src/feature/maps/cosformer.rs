//! cosFormer: ReLU features re-weighted by the distance of tokens, of Qin et al. 2022.

use crate::feature::kernels::LANES;
use crate::feature::map::{Extent, FeatureMap, Gradient, LEAST_SUM, Tokens};
use crate::feature::variant::{Definition, ISA, Linear};
use crate::{form, support};
use attention::simd::Isa;
use attention::variant::{Family, Kind, Parameter, Value, Variant};
use attention::{Capabilities, Feature, Head, Problem};
use ndarray::Array2;

/// Attention with weights relu(q)·relu(k)·cos(π(i - j)/2M) over their sum.
///
/// A key stands at its index j, a query at the last key that it sees. M is `horizon`, or the number
/// of keys of the history where that is larger: tokens further apart than M would have negative
/// weights. A state that grows knows no end of its history and is good for `horizon` keys.
/// The cosine of a difference is a sum of products, so that there are 2·D features. The problem's
/// `scale` has no effect. A row's sum below 1e-10 counts as 1e-10.
///
/// Source: Qin et al., cosFormer, ICLR 2022, equations 10 to 12. Cost: O(N·2D·Dv) time, state
/// 2D·(Dv + 1).
pub static VARIANT: Variant = Variant {
    name: "cosformer",
    family: Family::Linear,
    summary: "ReLU features weighted by the cosine of the distance; ignores the scale",
    time: "O(N·D²)",
    state: "2D·(Dv + 1)",
    source: "Qin et al., cosFormer, ICLR 2022, eq. 10-12",
    parameters: &[
        Parameter {
            name: "horizon",
            kind: Kind::Integer {
                min: 0,
                max: 1 << 40,
            },
            default: Value::Integer(0),
            summary: "M, the distance at which weights vanish; at least the history's keys",
        },
        ISA,
    ],
    build: |parameters| {
        Linear::build(
            parameters,
            CosFormer {
                horizon: parameters.integer("horizon"),
            },
        )
    },
};

struct CosFormer {
    horizon: usize,
}

/// πi/2M.
fn angle(position: usize, horizon: usize, keys: usize) -> f64 {
    std::f64::consts::FRAC_PI_2 * position as f64 / horizon.max(keys).max(1) as f64
}

/// The map for head dimension D.
pub(super) struct Features {
    d: usize,
    horizon: usize,
}

impl Features {
    /// Each token with the sine and cosine of its place.
    fn turns<'t>(&self, tokens: &'t Tokens<'_>) -> impl Iterator<Item = (f32, f32)> + use<'t> {
        let (horizon, keys) = (self.horizon, tokens.keys);
        tokens.positions.iter().map(move |&position| {
            let (sine, cosine) = angle(position, horizon, keys).sin_cos();
            (sine as f32, cosine as f32)
        })
    }
}

impl FeatureMap for Features {
    fn features(&self, _isa: Isa, tokens: &Tokens<'_>, _work: &mut [f32], phi: &mut [f32]) {
        if self.d == 0 {
            return;
        }
        let (token, whole) = (
            self.d.next_multiple_of(LANES),
            (2 * self.d).next_multiple_of(LANES),
        );
        let lines = phi
            .chunks_exact_mut(whole)
            .zip(tokens.x.chunks_exact(token));
        for ((phi, x), (sine, cosine)) in lines.zip(self.turns(tokens)) {
            let (a, b) = phi.split_at_mut(self.d);
            let (b, padding) = b.split_at_mut(self.d);
            for ((a, b), &x) in a.iter_mut().zip(b).zip(x) {
                // NaN stays NaN.
                let x = if x < 0.0 { 0.0 } else { x };
                (*a, *b) = (x * cosine, x * sine);
            }
            padding.fill(0.0);
        }
    }

    fn pull_back(
        &self,
        _isa: Isa,
        tokens: &Tokens<'_>,
        _work: &mut [f32],
        gradient: Gradient<'_>,
        _learned: &mut [f32],
    ) {
        if self.d == 0 {
            return;
        }
        let (token, whole) = (
            self.d.next_multiple_of(LANES),
            (2 * self.d).next_multiple_of(LANES),
        );
        let lines = gradient.dx.chunks_exact_mut(token);
        let lines = lines.zip(gradient.d_phi.chunks_exact(whole));
        let lines = lines.zip(tokens.x.chunks_exact(token));
        for (((dx, d_phi), x), (sine, cosine)) in lines.zip(self.turns(tokens)) {
            let (a, b) = d_phi.split_at(self.d);
            for (((dx, &x), a), b) in dx.iter_mut().zip(x).zip(a).zip(b) {
                *dx = if x > 0.0 { a * cosine + b * sine } else { 0.0 };
            }
        }
    }
}

impl Definition for CosFormer {
    type Map<'a> = Features;

    fn name(&self) -> &'static str {
        VARIANT.name
    }

    fn capabilities(&self) -> Capabilities {
        let linear = support::linear(self.name());
        if self.horizon == 0 {
            linear.without(
                Feature::Prepare,
                "horizon = 0 is the length of the whole history, which a state that grows does not \
                 know; name a horizon",
            )
        } else {
            linear
        }
    }

    fn longest_state(&self) -> Option<usize> {
        Some(self.horizon)
    }

    fn extent(&self, d: usize) -> Extent {
        Extent::plain(2 * d, 4 * d as u64)
    }

    fn map<'a>(&'a self, problem: &'a Problem<'_>) -> Features {
        Features {
            d: problem.shape().d,
            horizon: self.horizon,
        }
    }

    fn weights(&self, _problem: &Problem<'_>, head: &Head<'_>, rows: &[usize]) -> Array2<f64> {
        let relu = |x: f64| if x < 0.0 { 0.0 } else { x };
        let phi_q = form::queries(head, rows).mapv(relu);
        let phi_k = head.k.mapv(|x| relu(f64::from(x)));
        let mut weights = form::products(head, rows, phi_q.view(), phi_k.view());
        let keys = head.mask.band().2;
        for (mut row, &i) in weights.outer_iter_mut().zip(rows) {
            let end = head.mask.span(i).end;
            for j in 0..end {
                let turn = angle(end - 1, self.horizon, keys) - angle(j, self.horizon, keys);
                row[j] *= turn.cos();
            }
        }
        form::normalise_rows(&mut weights, f64::from(LEAST_SUM));
        weights
    }

    /// The cosine of a difference is a difference of products, small where tokens lie far apart:
    /// 100·ε.
    fn error_budget(&self, _max_abs_score: f64) -> f64 {
        100.0 * f64::from(f32::EPSILON)
    }
}
