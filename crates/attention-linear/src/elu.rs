//! φ(x) = elu(x) + 1, of Katharopoulos et al. 2020.

use crate::engine::{Engine, FeatureMap, LEAST_SUM, Normaliser};
use crate::exp::exp;
use crate::{form, support};
use attention::variant::{Family, Variant};
use attention::{
    Attention, Capabilities, Cost, Form, Geometry, OutputMut, Problem, Result, Scratch, Workers,
};

const NAME: &str = "linear-elu";

/// Attention with φ(x) = elu(x) + 1, weights φ(q)·φ(k) over their sum.
///
/// The paper applies φ to q and k as they are: there is no temperature, and the problem's `scale`
/// has no effect. A row's sum below 1e-10 counts as 1e-10, so that a query all of whose features
/// vanish answers 0.
///
/// Source: Katharopoulos et al., Transformers are RNNs, ICML 2020, equations 5, 7 and 9 (causal).
/// Cost: O(N·D·Dv) time, state D·(Dv + 1).
pub static VARIANT: Variant = Variant {
    name: NAME,
    family: Family::Linear,
    summary: "linear attention with elu(x) + 1 as feature map; ignores the scale",
    time: "O(N·D²)",
    state: "D·(Dv + 1)",
    source: "Katharopoulos et al., Transformers are RNNs, ICML 2020, eq. 7",
    parameters: &[],
    build: |_| Ok(Box::new(Elu)),
};

struct Elu;

/// The map for head dimension D.
struct Features {
    d: usize,
}

#[inline(always)]
fn feature(x: f32) -> f32 {
    let low = exp(if x > 0.0 { 0.0 } else { x });
    if x > 0.0 { x + 1.0 } else { low }
}

impl FeatureMap for Features {
    const LOGARITHMIC: bool = false;

    fn width(&self) -> usize {
        self.d
    }

    fn flops(&self) -> u64 {
        2 * self.d as u64
    }

    #[inline(always)]
    fn keys(&self, transposed: &[f32], _n: usize, out: &mut [f32]) {
        for (phi, &x) in out.iter_mut().zip(transposed) {
            *phi = feature(x);
        }
    }

    #[inline(always)]
    fn queries(&self, q: &[f32], n: usize, out: &mut [f32], stride: usize) {
        if self.d == 0 {
            return;
        }
        let rows = out.chunks_exact_mut(stride).zip(q.chunks_exact(self.d));
        for (phi, x) in rows.take(n) {
            for (phi, &x) in phi.iter_mut().zip(x) {
                *phi = feature(x);
            }
        }
    }
}

impl Attention for Elu {
    fn capabilities(&self) -> Capabilities {
        support::linear(NAME)
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities().admit(problem, &out)?;
        let map = &Features {
            d: problem.shape().d,
        };
        let engine = Engine {
            map,
            normaliser: Normaliser::RowSum,
            factor: 1.0,
        };
        engine.forward(problem, out, workers, scratch);
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let d = geometry.shape().d;
        Engine::scratch_bytes(&Features { d }, geometry, threads)
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let d = geometry.shape().d;
        Engine::cost(&Features { d }, geometry, threads)
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
        let feature = |x: f64| if x > 0.0 { x + 1.0 } else { x.exp() };
        let phi_q = form::queries(&head, rows).mapv(feature);
        let phi_k = head.k.mapv(|x| feature(f64::from(x)));
        let mut weights = form::products(&head, rows, phi_q.view(), phi_k.view());
        form::normalise_rows(&mut weights, f64::from(LEAST_SUM));
        Ok(form::output(&head, rows, weights))
    }

    /// Weights are positive and there are no scores whose rounding an exponential could magnify:
    /// 16·ε at any size. Measured on Gaussian inputs of up to 8192 keys: 2e-7.
    fn error_budget(&self, _max_abs_score: f64) -> f64 {
        16.0 * f64::from(f32::EPSILON)
    }
}
