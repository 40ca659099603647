//! LinRec: L2-normalised linear attention with signed weights.

use crate::engine::{CHUNK, Engine, FeatureMap, LEAST_NORM, Normaliser};
use crate::exp::exp_m1;
use crate::{form, support};
use attention::variant::{Family, Kind, Parameter, Value, Variant};
use attention::{
    Attention, Capabilities, Cost, Feature, Form, Geometry, OutputMut, Problem, Result, Scratch,
    Workers,
};
use ndarray::{Array2, Axis};

const NAME: &str = "linrec";
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
    name: NAME,
    family: Family::Linear,
    summary: "LinRec: linear attention with L2-normalised elu features and signed weights",
    time: "O(N·D²)",
    state: "D·Dv",
    source: "Liu et al., LinRec, SIGIR 2023, arXiv 2411.01537",
    parameters: &[Parameter {
        name: "normalisation",
        kind: Kind::Word(&[PER_TOKEN, PAPER]),
        default: Value::Word(PER_TOKEN),
        summary: "keys by token (public code) or by feature over the history (paper, not causal)",
    }],
    build: |parameters| {
        Ok(Box::new(LinRec {
            by_column: parameters.word("normalisation") == PAPER,
        }))
    },
};

struct LinRec {
    by_column: bool,
}

struct Features {
    d: usize,
    by_column: bool,
}

#[inline(always)]
fn elu(x: f32) -> f32 {
    let low = exp_m1(if x > 0.0 { 0.0 } else { x });
    if x > 0.0 { x } else { low }
}

/// Σ x² in f64, which neither over- nor underflows, with eight running sums.
#[inline(always)]
fn squares(x: &[f32]) -> f64 {
    let mut sums = [0.0_f64; 8];
    for x in x.chunks(8) {
        for (sum, &x) in sums.iter_mut().zip(x) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    sums.iter().sum()
}

fn inverse(squares: f64) -> f32 {
    let norm = squares.sqrt();
    let least = f64::from(LEAST_NORM);
    (1.0 / if norm < least { least } else { norm }) as f32
}

impl FeatureMap for Features {
    const LOGARITHMIC: bool = false;

    fn width(&self) -> usize {
        self.d
    }

    fn flops(&self) -> u64 {
        5 * self.d as u64
    }

    #[inline(always)]
    fn keys(&self, transposed: &[f32], _n: usize, out: &mut [f32]) {
        let mut squares = [0.0_f64; CHUNK];
        let rows = out.chunks_exact_mut(CHUNK);
        for (phi, x) in rows.zip(transposed.chunks_exact(CHUNK)) {
            for ((phi, &x), squares) in phi.iter_mut().zip(x).zip(&mut squares) {
                *phi = elu(x);
                *squares += f64::from(*phi) * f64::from(*phi);
            }
        }
        if !self.by_column {
            let factors = squares.map(inverse);
            for phi in out.chunks_exact_mut(CHUNK) {
                phi.iter_mut().zip(&factors).for_each(|(x, f)| *x *= f);
            }
        }
    }

    #[inline(always)]
    fn queries(&self, q: &[f32], n: usize, out: &mut [f32], stride: usize) {
        if self.d == 0 {
            return;
        }
        let rows = out.chunks_exact_mut(stride).zip(q.chunks_exact(self.d));
        for (phi, x) in rows.take(n) {
            let phi = &mut phi[..self.d];
            phi.iter_mut().zip(x).for_each(|(phi, &x)| *phi = elu(x));
            let factor = inverse(squares(phi));
            phi.iter_mut().for_each(|x| *x *= factor);
        }
    }
}

impl LinRec {
    fn features(&self, d: usize) -> Features {
        Features {
            d,
            by_column: self.by_column,
        }
    }
}

impl Attention for LinRec {
    fn capabilities(&self) -> Capabilities {
        let linear = support::linear(NAME);
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

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities().admit(problem, &out)?;
        let engine = Engine {
            map: &self.features(problem.shape().d),
            normaliser: if self.by_column {
                Normaliser::KeyColumns
            } else {
                Normaliser::None
            },
            factor: problem.scale(),
        };
        engine.forward(problem, out, workers, scratch);
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        Engine::scratch_bytes(&self.features(geometry.shape().d), geometry, threads)
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        Engine::cost(&self.features(geometry.shape().d), geometry, threads)
    }

    fn form_f64(
        &self,
        problem: &Problem<'_>,
        sequence: usize,
        head: usize,
        rows: &[usize],
    ) -> Result<Form> {
        self.capabilities().admits_geometry(problem.geometry())?;
        let head = problem.head(sequence, head);
        let elu = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
        let mut phi_q = form::queries(&head, rows).mapv(elu);
        let mut phi_k = head.k.mapv(|x| elu(f64::from(x)));
        divide_by_norms(&mut phi_q, Axis(0), usize::MAX, 1.0);
        if self.by_column {
            let n = rows.first().map_or(0, |&i| head.mask.span(i).end);
            divide_by_norms(&mut phi_k, Axis(1), n, (n as f64).sqrt());
        } else {
            divide_by_norms(&mut phi_k, Axis(0), usize::MAX, 1.0);
        }
        let products = form::products(&head, rows, phi_q.view(), phi_k.view());
        let weights = products * f64::from(problem.scale());
        Ok(form::output(&head, rows, weights))
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
