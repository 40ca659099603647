//! FAVOR+: positive orthogonal random features of the softmax kernel.

mod weights;

use crate::engine::{CHUNK, Engine, FeatureMap, Normaliser};
use crate::matmul::{LANES, Rows, add_product};
use crate::projection::Projection;
use crate::{form, support};
use attention::variant::{Family, Kind, Parameter, Value, Variant};
use attention::{
    Attention, Capabilities, Cost, Form, Geometry, OutputMut, Problem, Result, Scratch, Workers,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const NAME: &str = "favor";

/// Attention with φ(x)_f = exp(ω_f·x - ‖x‖²/2), x = √scale·q (or k): the mean over f of
/// φ(q)_f·φ(k)_f estimates exp(scale·q·k) without bias.
///
/// `features` is m; the ω are block-orthogonal, drawn from `seed`, and the same for all heads. A
/// negative scale changes the sign of x for queries. Finite for any finite input: each feature is
/// summed in units of the largest value that it has had.
///
/// Source: Choromanski et al., Rethinking Attention with Performers, ICLR 2021, lemma 1 and
/// section 2.4. Cost: O(N·m·(D + Dv)) time, state m·(Dv + 2).
pub static VARIANT: Variant = Variant {
    name: NAME,
    family: Family::Linear,
    summary: "FAVOR+: softmax estimated without bias by positive orthogonal random features",
    time: "O(N·m·D)",
    state: "m·(Dv + 1)",
    source: "Choromanski et al., Rethinking Attention with Performers, ICLR 2021, lemma 1",
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
    ],
    build: |parameters| {
        Ok(Box::new(Favor {
            features: parameters.integer("features"),
            seed: parameters.integer("seed") as u64,
            projections: Mutex::default(),
        }))
    },
};

struct Favor {
    features: usize,
    seed: u64,
    /// By head dimension D, which is known only when a problem comes.
    projections: Mutex<BTreeMap<usize, Arc<Projection>>>,
}

impl Favor {
    fn projection(&self, d: usize) -> Arc<Projection> {
        let mut drawn = self
            .projections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let projection = drawn
            .entry(d)
            .or_insert_with(|| Arc::new(Projection::draw(self.features, d, self.seed, LANES)));
        Arc::clone(projection)
    }

    fn map(&self, geometry: &Geometry, scale: f32) -> Features {
        let d = geometry.shape().d;
        Features {
            projection: self.projection(d),
            width: self.features,
            d,
            scale,
        }
    }
}

struct Features {
    projection: Arc<Projection>,
    width: usize,
    d: usize,
    scale: f32,
}

impl FeatureMap for Features {
    const LOGARITHMIC: bool = true;

    fn width(&self) -> usize {
        self.width
    }

    fn flops(&self) -> u64 {
        (2 * self.width * self.d + 4 * self.width) as u64
    }

    #[inline(always)]
    fn keys(&self, transposed: &[f32], n: usize, out: &mut [f32]) {
        let root = self.scale.abs().sqrt();
        let half = 0.5 * self.scale.abs();
        let mut squares = [0.0_f32; CHUNK];
        for row in transposed.chunks_exact(CHUNK) {
            for (sum, x) in squares.iter_mut().zip(row) {
                *sum += x * x;
            }
        }
        out.fill(0.0);
        let omega = Rows {
            data: &self.projection.rows,
            stride: self.d,
        };
        let keys = Rows {
            data: transposed,
            stride: CHUNK,
        };
        let sides = (self.width, self.d, n.next_multiple_of(LANES));
        add_product(omega, keys, (out, CHUNK), sides);
        for row in out.chunks_exact_mut(CHUNK) {
            for (phi, sum) in row.iter_mut().zip(&squares) {
                *phi = root * *phi - half * sum;
            }
        }
    }

    #[inline(always)]
    fn queries(&self, q: &[f32], n: usize, out: &mut [f32], stride: usize) {
        let root = self.scale.abs().sqrt().copysign(self.scale);
        let out = &mut out[..n * stride];
        out.fill(0.0);
        let queries = Rows {
            data: q,
            stride: self.d,
        };
        let omega = Rows {
            data: &self.projection.columns,
            stride: self.projection.stride,
        };
        add_product(queries, omega, (out, stride), (n, self.d, stride));
        out.iter_mut().for_each(|x| *x *= root);
    }
}

impl Attention for Favor {
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
        let engine = Engine {
            map: &self.map(problem.geometry(), problem.scale()),
            normaliser: Normaliser::RowSum,
            factor: 1.0,
        };
        engine.forward(problem, out, workers, scratch);
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        Engine::scratch_bytes(&self.map(geometry, 1.0), geometry, threads)
    }

    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        Engine::cost(&self.map(geometry, 1.0), geometry, threads)
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
        let omega = self.projection(head.q.ncols());
        let weights = weights::weights(&head, rows, &omega.rows, self.features);
        Ok(form::output(&head, rows, weights))
    }

    /// As for exact attention, the rounding of exponents of the size of the scores; and no less
    /// than 160·ε, since ω·x and ‖x‖²/2, which are larger than the scores, are rounded too.
    /// Measured on Gaussian inputs of 1 to 8192 keys: 2e-6 for scores up to 20, and a fortieth of
    /// the budget at scores of 500.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        f64::from(f32::EPSILON) * (8.0 * max_abs_score).max(160.0)
    }
}
