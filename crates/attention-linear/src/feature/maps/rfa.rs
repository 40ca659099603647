//! Random Fourier features of the Gaussian kernel, of Peng et al. 2021.

#![allow(unsafe_code)]

use super::projection;
use super::unit::{pull_unit, scale_to_unit};
use crate::feature::kernels::{Ahead, LANES, rows, rows_mut, set_product};
use crate::feature::map::{
    CHUNK, Extent, FeatureMap, Gradient, LEAST_NORM, LEAST_SUM, Normaliser, Tokens,
};
use crate::feature::variant::{Definition, ISA, Linear};
use crate::form;
use attention::oracle::dot;
use attention::simd::{Isa, Kernel, Vector, dispatch};
use attention::variant::{Family, Kind, Parameter, Value, Variant};
use attention::{Error, Head, Problem};
use ndarray::Array2;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Attention with φ(x) = √(2/m)·[sin(ω_f·x̂/σ), cos(ω_f·x̂/σ)], x̂ = x/‖x‖: the sum over the m/2
/// frequencies estimates exp(-‖q̂ - k̂‖²/2σ²), which is exp(q̂·k̂/σ²) up to a factor that cancels.
///
/// `features` is m, even; the ω are block-orthogonal, drawn from `seed`, the same for all heads. The
/// problem's `scale` has no effect, `sigma` stands in its place. Weights may be negative, and a row's
/// sum may vanish: it keeps its sign and at least 1e-10. Norms below 1e-12 count as that.
///
/// A weight's standard error is up to 1/√m, and tokens at right angles have the weight e^(-1/σ²):
/// `features` must reach e^(2/σ²), where these are alike, or most sums would be noise around zero.
///
/// Source: Peng et al., Random Feature Attention, ICLR 2021, equations 3 to 5 (without the gate).
/// Cost: O(N·m·(D + Dv)) time, state m·(Dv + 1).
pub static VARIANT: Variant = Variant {
    name: "rfa",
    family: Family::Linear,
    summary: "random Fourier features of unit queries and keys; signed weights, ignores the scale",
    time: "O(N·m·D)",
    state: "m·(Dv + 1)",
    source: "Peng et al., Random Feature Attention, ICLR 2021, eq. 3-5",
    parameters: &[
        Parameter {
            name: "features",
            kind: Kind::Integer { min: 2, max: 4096 },
            default: Value::Integer(128),
            summary: "features m, even: a sine and a cosine for each frequency",
        },
        Parameter {
            name: "sigma",
            kind: Kind::Float { min: 0.5, max: 1e3 },
            default: Value::Float(1.0),
            summary: "width of the Gaussian kernel; a narrow one needs e^(2/sigma²) features",
        },
        Parameter {
            name: "seed",
            kind: Kind::Integer {
                min: 0,
                max: i64::MAX,
            },
            default: Value::Integer(0),
            summary: "seed of the frequencies",
        },
        ISA,
    ],
    build: |parameters| {
        let (features, sigma) = (parameters.integer("features"), parameters.float("sigma"));
        let least = (2.0 / (sigma * sigma)).exp();
        if (features as f64) < least {
            return Err(Error::Parameter {
                parameter: "features",
                value: features.to_string(),
                expected: format!(
                    "at sigma = {sigma} at least {least:.0}: with fewer a weight's error exceeds the \
                     weight, and sums of weights vanish"
                ),
            });
        }
        if !features.is_multiple_of(2) {
            return Err(Error::Parameter {
                parameter: "features",
                value: features.to_string(),
                expected: "an even number: a sine and a cosine for each frequency".into(),
            });
        }
        Linear::build(
            parameters,
            Rfa {
                frequencies: features / 2,
                sigma,
                seed: parameters.integer("seed") as u64,
                drawn: Mutex::default(),
            },
        )
    },
};

struct Rfa {
    frequencies: usize,
    sigma: f64,
    seed: u64,
    /// By head dimension D, which is known only when a problem comes.
    drawn: Mutex<BTreeMap<usize, Arc<Drawn>>>,
}

/// Ω/σ `[m/2, D]`.
struct Drawn {
    rows: Vec<f32>,
    /// Itself and its transpose, rows padded with zeros to whole lanes.
    padded: Vec<f32>,
    columns: Vec<f32>,
}

impl Rfa {
    fn drawn(&self, d: usize) -> Arc<Drawn> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(drawn.entry(d).or_insert_with(|| {
            let mut rows = projection::draw(self.frequencies, d, self.seed);
            rows.iter_mut()
                .for_each(|x| *x = (f64::from(*x) / self.sigma) as f32);
            let stride = self.frequencies.next_multiple_of(LANES);
            Arc::new(Drawn {
                padded: projection::padded(&rows, d),
                columns: projection::transposed(&rows, d, stride),
                rows,
            })
        }))
    }
}

/// The map for one D.
pub(super) struct Features {
    drawn: Arc<Drawn>,
    frequencies: usize,
    d: usize,
}

impl Features {
    fn strides(&self) -> [usize; 3] {
        [self.d, self.frequencies, 2 * self.frequencies].map(|n| n.next_multiple_of(LANES))
    }
}

impl FeatureMap for Features {
    fn features(&self, isa: Isa, tokens: &Tokens<'_>, work: &mut [f32], phi: &mut [f32]) {
        let (n, [token, half, whole]) = (tokens.count(), self.strides());
        let (unit, angles) = work.split_at_mut(CHUNK * token);
        unit[..n * token].copy_from_slice(&tokens.x[..n * token]);
        scale_to_unit(isa, unit, n, self.d, LEAST_NORM);
        set_product(
            isa,
            rows(unit, token).left(),
            rows(&self.drawn.columns, half),
            (n, self.d, half),
            rows_mut(angles, half),
            Ahead::NONE,
        );
        // Angles that are NaN stay so.
        struct Run<'a> {
            angles: &'a [f32],
            phi: &'a mut [f32],
            strides: (usize, usize),
            frequencies: usize,
        }
        impl Kernel for Run<'_> {
            #[inline(always)]
            fn run<V: Vector>(self) {
                let factor = (1.0 / self.frequencies as f32).sqrt();
                let (half, whole) = self.strides;
                let (m, mut lanes) = (self.frequencies, [0.0; LANES]);
                for (row, angles) in self
                    .phi
                    .chunks_exact_mut(whole)
                    .zip(self.angles.chunks_exact(half))
                {
                    row[2 * m..].fill(0.0);
                    for c in (0..m).step_by(V::LANES) {
                        let n = (m - c).min(V::LANES);
                        for (quarter, at) in [(0.0, c), (0.25, m + c)] {
                            // SAFETY: rows of angles have whole vectors.
                            unsafe {
                                let turns = V::load(angles.as_ptr().add(c));
                                sine::<V>(turns, quarter)
                                    .mul(V::splat(factor))
                                    .store(lanes.as_mut_ptr());
                            }
                            row[at..at + n].copy_from_slice(&lanes[..n]);
                        }
                    }
                }
            }
        }
        dispatch(
            isa,
            Run {
                angles: &angles[..n * half],
                phi: &mut phi[..n * whole],
                strides: (half, whole),
                frequencies: self.frequencies,
            },
        );
    }

    /// d angle = cos·d sin - sin·d cos, then through Ω and the norm.
    fn pull_back(
        &self,
        isa: Isa,
        tokens: &Tokens<'_>,
        work: &mut [f32],
        gradient: Gradient<'_>,
        _learned: &mut [f32],
    ) {
        let Gradient { phi, d_phi, dx } = gradient;
        let (n, [token, half, whole]) = (tokens.count(), self.strides());
        let (m, angles) = (self.frequencies, &mut work[CHUNK * token..]);
        let lines = phi.chunks_exact(whole).zip(d_phi.chunks_exact(whole));
        for (to, (phi, d_phi)) in angles.chunks_exact_mut(half).zip(lines).take(n) {
            for f in 0..m {
                to[f] = phi[m + f] * d_phi[f] - phi[f] * d_phi[m + f];
            }
        }
        set_product(
            isa,
            rows(angles, half).left(),
            rows(&self.drawn.padded, token),
            (n, m, token),
            rows_mut(dx, token),
            Ahead::NONE,
        );
        pull_unit(isa, (tokens.x, dx), n, self.d, LEAST_NORM);
    }
}

/// sin of an angle x and of a share of a turn more, within 2e-7 for angles of a few turns.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn sine<V: Vector>(x: V, more: f32) -> V {
    /// Adding and subtracting it rounds to whole numbers.
    const ROUND: f32 = 12_582_912.0;
    /// Of Taylor's series, highest power first.
    const SINE: [f32; 6] = [
        -2.505_210_8e-8,
        2.755_731_9e-6,
        -1.984_127e-4,
        8.333_333e-3,
        -1.666_666_7e-1,
        1.0,
    ];
    // SAFETY: arithmetic alone.
    unsafe {
        let round = |x: V| x.add(V::splat(ROUND)).sub(V::splat(ROUND));
        // In half turns: x = (n + r)·π with |r| <= 1/2, and sin x = (-1)^n·sin πr.
        let halves = x.mul_add(V::splat(std::f32::consts::FRAC_1_PI), V::splat(2.0 * more));
        let n = round(halves);
        let angle = halves.sub(n).mul(V::splat(std::f32::consts::PI));
        let square = angle.mul(angle);
        let mut p = V::splat(SINE[0]);
        for c in &SINE[1..] {
            p = p.mul_add(square, V::splat(*c));
        }
        let odd = n.mul(V::splat(0.5));
        let odd = odd.sub(round(odd));
        let sign = odd.mul(odd).mul_add(V::splat(-8.0), V::splat(1.0));
        p.mul(angle).mul(sign)
    }
}

impl Definition for Rfa {
    type Map<'a> = Features;

    fn name(&self) -> &'static str {
        VARIANT.name
    }

    fn extent(&self, d: usize) -> Extent {
        let m = 2 * self.frequencies;
        let half = self.frequencies.next_multiple_of(LANES);
        Extent {
            work: CHUNK * (d.next_multiple_of(LANES) + half),
            normaliser: Normaliser::SignedSum,
            ..Extent::plain(m, (m * d + 20 * m) as u64)
        }
    }

    fn map<'a>(&'a self, problem: &'a Problem<'_>) -> Features {
        let d = problem.shape().d;
        Features {
            drawn: self.drawn(d),
            frequencies: self.frequencies,
            d,
        }
    }

    fn weights(&self, _problem: &Problem<'_>, head: &Head<'_>, rows: &[usize]) -> Array2<f64> {
        let d = head.q.ncols();
        let drawn = self.drawn(d);
        let omega = Array2::from_shape_fn((self.frequencies, d), |(f, i)| {
            f64::from(drawn.rows[f * d + i])
        });
        let features = |x: Array2<f64>| {
            Array2::from_shape_fn((x.nrows(), 2 * self.frequencies), |(r, c)| {
                let row = x.row(r);
                let norm = dot(row, row).sqrt();
                let least = f64::from(LEAST_NORM);
                let norm = if norm < least { least } else { norm };
                let f = c % self.frequencies;
                let angle = dot(omega.row(f), row) / norm;
                let value = if c < self.frequencies {
                    angle.sin()
                } else {
                    angle.cos()
                };
                value / (self.frequencies as f64).sqrt()
            })
        };
        let phi_q = features(form::queries(head, rows));
        let phi_k = features(head.k.mapv(f64::from));
        let mut weights = form::products(head, rows, phi_q.view(), phi_k.view());
        for mut row in weights.outer_iter_mut() {
            let sum = row.sum();
            let least = f64::from(LEAST_SUM);
            let sum = if sum.abs() < least {
                least.copysign(sum)
            } else {
                sum
            };
            row.mapv_inplace(|w| w / sum);
        }
        weights
    }

    /// Weights of either sign cancel in a row's sum, which may be small beside them: 2000·ε.
    fn error_budget(&self, _max_abs_score: f64) -> f64 {
        2000.0 * f64::from(f32::EPSILON)
    }
}
