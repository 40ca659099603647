//! FAVOR+: positive orthogonal random features of the softmax kernel.

mod features;
mod weights;

use super::projection;
use crate::feature::kernels::LANES;
use crate::feature::map::Extent;
use crate::feature::variant::{Definition, ISA, Linear};
use attention::variant::{Family, Kind, Parameter, Value, Variant};
use attention::{Error, Head, Problem};
use features::Features;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const POSITIVE: &str = "positive";
const HYPERBOLIC: &str = "hyperbolic";
const PLUS_PLUS: &str = "plus-plus";

/// Attention with φ(x)_f = exp(ω_f·x - ‖x‖²/2), x = √scale·q (or k): the mean over f of
/// φ(q)_f·φ(k)_f estimates exp(scale·q·k) without bias.
///
/// `features` is m; the ω are block-orthogonal, drawn from `seed` (another seed is a redraw), and the
/// same for all heads. `kind`: `positive` as above; `hyperbolic` takes every ω with both signs, so
/// that m must be even; `plus-plus` takes φ(x)_f = exp(A‖ω_f‖² + √(1-4A)·ω_f·x - ‖x‖²/2) with the A
/// below zero that is best where ‖q + k‖² is `sum-norm` (in units of x; 0 stands for 2·√D, which
/// unit Gaussian q and k have at the default scale). Constants that all features share cancel. A
/// negative scale changes the sign of x for queries. Finite for any finite input: each feature is
/// summed in units of the largest value that it has had.
///
/// Source: Choromanski et al., Rethinking Attention with Performers, ICLR 2021, lemma 1 and section
/// 2.4; Likhosherstov et al., Chefs' Random Tables, NeurIPS 2022, section 3.3 (plus-plus).
/// Cost: O(N·m·(D + Dv)) time, state m·(Dv + 2).
pub static VARIANT: Variant = Variant {
    name: "favor",
    family: Family::Linear,
    summary: "FAVOR+: softmax estimated without bias by positive orthogonal random features",
    time: "O(N·m·D)",
    state: "m·(Dv + 2)",
    source: "Choromanski et al., Rethinking Attention with Performers, ICLR 2021, lemma 1; \
             Likhosherstov et al., Chefs' Random Tables, NeurIPS 2022, sec. 3.3 (plus-plus)",
    parameters: &[
        Parameter {
            name: "features",
            kind: Kind::Integer { min: 8, max: 4096 },
            default: Value::Integer(256),
            summary: "random features m: the error falls as 1/√m",
        },
        Parameter {
            name: "seed",
            kind: Kind::Integer {
                min: 0,
                max: i64::MAX,
            },
            default: Value::Integer(0),
            summary: "seed of the random projection",
        },
        Parameter {
            name: "kind",
            kind: Kind::Word(&[POSITIVE, HYPERBOLIC, PLUS_PLUS]),
            default: Value::Word(POSITIVE),
            summary: "FAVOR+ features, those with both signs of each direction, or FAVOR++",
        },
        Parameter {
            name: "sum-norm",
            kind: Kind::Float { min: 0.0, max: 1e6 },
            default: Value::Float(0.0),
            summary: "plus-plus: expected scale·‖q + k‖²; 0 stands for 2·√D",
        },
        ISA,
    ],
    build: |parameters| {
        let favor = Favor {
            features: parameters.integer("features"),
            seed: parameters.integer("seed") as u64,
            kind: parameters.word("kind"),
            sum_norm: parameters.float("sum-norm"),
            drawn: Mutex::default(),
        };
        if favor.kind == HYPERBOLIC && !favor.features.is_multiple_of(2) {
            return Err(Error::Parameter {
                parameter: "features",
                value: favor.features.to_string(),
                expected: "an even number, as hyperbolic features come in pairs".into(),
            });
        }
        Linear::build(parameters, favor)
    },
};

struct Favor {
    features: usize,
    seed: u64,
    kind: &'static str,
    sum_norm: f64,
    /// By head dimension D, which is known only when a problem comes.
    drawn: Mutex<BTreeMap<usize, Arc<Drawn>>>,
}

/// What log φ(x)_f = shift_f + stretch·ω_f·x - ‖x‖²/2 is made of, for one D.
struct Drawn {
    /// Ω `[m, D]`.
    rows: Vec<f32>,
    /// Ω and Ωᵀ, rows padded with zeros to whole lanes.
    padded: Vec<f32>,
    columns: Vec<f32>,
    /// `[m]`, padded with zeros to whole lanes.
    shifts: Vec<f64>,
    /// The same to the base of two, as the kernel has it.
    binary_shifts: Vec<f32>,
    stretch: f64,
}

impl Favor {
    fn drawn(&self, d: usize) -> Arc<Drawn> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(drawn.entry(d).or_insert_with(|| Arc::new(self.draw(d))))
    }

    fn draw(&self, d: usize) -> Drawn {
        let rows = if self.kind == HYPERBOLIC {
            let mut rows = projection::draw(self.features / 2, d, self.seed);
            rows.extend_from_within(..);
            let half = rows.len() / 2;
            rows[half..].iter_mut().for_each(|x| *x = -*x);
            rows
        } else {
            projection::draw(self.features, d, self.seed)
        };
        let stride = self.features.next_multiple_of(LANES);
        let a = if self.kind == PLUS_PLUS {
            plus_plus(d, self.sum_norm)
        } else {
            0.0
        };
        let mut shifts = vec![0.0; stride];
        for (shift, row) in shifts.iter_mut().zip(rows.chunks_exact(d.max(1))) {
            *shift = a * row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        }
        Drawn {
            padded: projection::padded(&rows, d),
            columns: projection::transposed(&rows, d, stride),
            rows,
            binary_shifts: shifts
                .iter()
                .map(|x| (x * std::f64::consts::LOG2_E) as f32)
                .collect(),
            shifts,
            stretch: (1.0 - 4.0 * a).sqrt(),
        }
    }
}

/// A of FAVOR++ for an expected ‖x + y‖² of s: of the features of its form, which are all unbiased,
/// those of least second moment (1-4A)^D·(1-8A)^(-D/2)·exp(2(1-4A)s/(1-8A)) (Likhosherstov et al.
/// 2022, theorem 3.2).
fn plus_plus(d: usize, s: f64) -> f64 {
    let d = d as f64;
    let s = if s > 0.0 { s } else { 2.0 * d.sqrt() };
    if d == 0.0 {
        return 0.0;
    }
    let rho = (((d + 2.0 * s).powi(2) + 8.0 * d * s).sqrt() - d - 2.0 * s) / (4.0 * s);
    (1.0 - 1.0 / rho) / 8.0
}

impl Definition for Favor {
    type Map<'a> = Features;

    fn name(&self) -> &'static str {
        VARIANT.name
    }

    fn extent(&self, d: usize) -> Extent {
        let (m, d) = (self.features, d as u64);
        Extent {
            logarithmic: true,
            ..Extent::plain(m, 2 * m as u64 * d + 4 * m as u64)
        }
    }

    fn map<'a>(&'a self, problem: &'a Problem<'_>) -> Features {
        let d = problem.shape().d;
        Features::new(self.drawn(d), self.features, d, problem.scale())
    }

    fn weights(&self, _problem: &Problem<'_>, head: &Head<'_>, rows: &[usize]) -> Array2<f64> {
        weights::weights(head, rows, &self.drawn(head.q.ncols()), self.features)
    }

    /// As for exact attention, the rounding of exponents of the size of the scores; and no less
    /// than 160·ε, since ω·x and ‖x‖²/2, which are larger than the scores, are rounded too.
    /// Measured on Gaussian inputs of 1 to 8192 keys: 2e-6 for scores up to 20, and a fortieth of
    /// the budget at scores of 500.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        f64::from(f32::EPSILON) * (8.0 * max_abs_score).max(160.0)
    }
}
