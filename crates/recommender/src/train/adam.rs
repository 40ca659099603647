//! Adam, in one pass over what is learned.

use super::gradients::Gradients;
use attention::{Scratch, Workers};
use candle_core::{CpuStorage, InplaceOp1, Layout, Var};
use std::sync::{Mutex, PoisonError};

/// Numbers that a worker updates at once.
const BLOCK: usize = 1 << 12;

/// Keeps a division from zero.
const EPSILON: f32 = 1e-8;

/// The moments of Adam with decoupled weight decay (Kingma & Ba 2015, Algorithm 1; Loshchilov & Hutter 2019,
/// Algorithm 2).
pub(super) struct Adam {
    pub(super) first: Vec<Vec<f32>>,
    pub(super) second: Vec<Vec<f32>>,
    /// Steps done.
    pub(super) steps: u64,
}

/// One step's settings.
pub(super) struct Rate {
    pub(super) size: f64,
    pub(super) betas: (f64, f64),
    pub(super) weight_decay: f64,
    /// What gradients are multiplied with: below 1 where they are clipped.
    pub(super) gradients: f64,
}

impl Adam {
    pub(super) fn new(learned: &[Var]) -> Self {
        let zeros = || {
            learned
                .iter()
                .map(|var| vec![0.0; var.elem_count()])
                .collect()
        };
        Self {
            first: zeros(),
            second: zeros(),
            steps: 0,
        }
    }

    /// Moves every tensor against its gradient, in place.
    pub(super) fn step(
        &mut self,
        learned: &[Var],
        gradients: &Gradients,
        rate: &Rate,
        workers: &Workers,
    ) -> candle_core::Result<()> {
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (beta1, beta2) = rate.betas;
        // The corrections of both moments are one factor of the step, and one of ε.
        let root = (1.0 - beta2.powi(steps)).sqrt();
        let factors = Factors {
            gradient: rate.gradients as f32,
            betas: (beta1 as f32, beta2 as f32),
            step: (rate.size * root / (1.0 - beta1.powi(steps))) as f32,
            epsilon: EPSILON * root as f32,
            keep: (1.0 - rate.size * rate.weight_decay) as f32,
        };
        let moments = self.first.iter_mut().zip(&mut self.second);
        for (n, (var, (first, second))) in learned.iter().zip(moments).enumerate() {
            var.inplace_op1(&Update {
                gradient: gradients.of(n),
                moments: Mutex::new((first, second)),
                factors,
                workers,
            })?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Factors {
    gradient: f32,
    betas: (f32, f32),
    step: f32,
    epsilon: f32,
    keep: f32,
}

struct Update<'a> {
    gradient: &'a [f32],
    moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
    factors: Factors,
    workers: &'a Workers,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else {
            return Err(candle_core::Error::msg("what is learned is f32"));
        };
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, second) = &mut *moments;
        let moments = first.chunks_mut(BLOCK).zip(second.chunks_mut(BLOCK));
        let blocks = values
            .chunks_mut(BLOCK)
            .zip(self.gradient.chunks(BLOCK))
            .zip(moments);
        self.workers.run(
            blocks,
            &mut Scratch::new(),
            0,
            |((values, gradient), (first, second)), _| {
                pulp::Arch::new().dispatch(Move {
                    values,
                    gradient,
                    first,
                    second,
                    factors: self.factors,
                });
            },
        );
        Ok(())
    }
}

struct Move<'a> {
    values: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    factors: Factors,
}

impl pulp::WithSimd for Move<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let Factors {
            gradient: scale,
            betas: (beta1, beta2),
            step,
            epsilon,
            keep,
        } = self.factors;
        let moments = self.first.iter_mut().zip(self.second);
        for ((x, g), (m, v)) in self.values.iter_mut().zip(self.gradient).zip(moments) {
            let g = scale * g;
            *m += (1.0 - beta1) * (g - *m);
            *v += (1.0 - beta2) * (g * g - *v);
            *x = keep * *x - step * *m / (v.sqrt() + epsilon);
        }
    }
}
