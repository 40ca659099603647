//! Layer normalisation with its gradients (Ba, Kiros & Hinton 2016, equation 4).

use crate::engine::Engine;
use crate::error::{Result, expect};
use crate::numeric::{ROWS, add, add_scaled, sum};
use crate::ordered::ordered;
use crate::tape::Node;
use crate::tensor::{floats, input, like, output, rows};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use std::sync::{Mutex, PoisonError};

/// (x - mean)/√(variance + ε)·gain + shift over the last axis of x `[..., D]`; `weight` is `[2, D]`: gain,
/// then shift.
///
/// Cost: one pass over x forward, two backward; two numbers a row are kept between.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where `weight` does not fit x.
pub fn layer_norm(engine: &Engine, x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
    let (x, _, width) = rows("layer norm", x)?;
    expect("layer norm", "weight", "[2, D]", weight.dims(), &[2, width])?;
    let op = LayerNorm {
        engine: engine.clone(),
        epsilon,
        width: width.max(1),
        moments: Mutex::default(),
    };
    let inputs = [x, weight.contiguous()?];
    Ok(engine.apply(Node::Two(inputs, Box::new(op)))?)
}

struct LayerNorm {
    engine: Engine,
    epsilon: f32,
    width: usize,
    /// Of each row.
    moments: Mutex<Vec<Moments>>,
}

impl CustomOp2 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, weight) = (input(x, x_layout)?, input(weight, weight_layout)?);
        let mut y = vec![0.0; x.len()];
        let mut moments = vec![Moments::default(); x.len() / self.width];
        let block = ROWS * self.width;
        let tasks = x.chunks(block).zip(y.chunks_mut(block));
        let tasks = tasks.zip(moments.chunks_mut(ROWS));
        self.engine.run(tasks, |((x, y), moments)| {
            pulp::Arch::new().dispatch(Forward {
                op: self,
                x,
                weight,
                moments,
                y,
            });
        });
        *self.moments.lock().unwrap_or_else(PoisonError::into_inner) = moments;
        Ok(output(y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (mut dx, mut dw) = (vec![0.0; x.elem_count()], vec![0.0; 2 * self.width]);
        {
            let (x, w, dy) = (floats(x)?, floats(weight)?, floats(&dy)?);
            let (weight, block) = (&w[..], ROWS * self.width);
            let moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
            let rows = x.chunks(block).zip(moments.chunks(ROWS));
            let tasks = rows.zip(dy.chunks(block)).zip(dx.chunks_mut(block));
            let work = |(((x, moments), dy), dx)| {
                pulp::Arch::new().dispatch(Backward {
                    x,
                    weight,
                    moments,
                    dy,
                    dx,
                })
            };
            ordered(self.engine.workers(), tasks, work, |part| {
                add(&part, &mut dw)
            });
        }
        Ok((Some(like(dx, x)?), Some(like(dw, weight)?)))
    }
}

/// Mean and 1/√(variance + ε) of a row.
pub(crate) type Moments = (f32, f32);

#[inline(always)]
pub(crate) fn moments(x: &[f32], epsilon: f32) -> Moments {
    let count = x.len() as f32;
    let mean = sum(x, x, |x, _| x) / count;
    let variance = sum(x, x, |x, _| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// From the gradient of a normalised row to that of the row x itself.
#[inline(always)]
pub(crate) fn through_moments(x: &[f32], (mean, inverse): Moments, dx: &mut [f32]) {
    let count = x.len() as f32;
    let mean_dx = sum(dx, dx, |dx, _| dx) / count;
    let along = sum(dx, x, |dx, x| dx * (x - mean)) * inverse / count;
    for (dx, x) in dx.iter_mut().zip(x) {
        *dx = inverse * (*dx - mean_dx - (x - mean) * inverse * along);
    }
}

struct Forward<'a> {
    op: &'a LayerNorm,
    x: &'a [f32],
    weight: &'a [f32],
    moments: &'a mut [Moments],
    y: &'a mut [f32],
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let width = self.op.width;
        let (gain, shift) = self.weight.split_at(width);
        let rows = self.x.chunks_exact(width).zip(self.moments);
        for ((x, kept), y) in rows.zip(self.y.chunks_exact_mut(width)) {
            let (mean, inverse) = moments(x, self.op.epsilon);
            *kept = (mean, inverse);
            for ((y, x), (gain, shift)) in y.iter_mut().zip(x).zip(gain.iter().zip(shift)) {
                *y = (x - mean) * inverse * gain + shift;
            }
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    moments: &'a [Moments],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl pulp::WithSimd for Backward<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> Vec<f32> {
        let width = self.weight.len() / 2;
        let gain = &self.weight[..width];
        let mut dw = vec![0.0; 2 * width];
        let (dgain, dshift) = dw.split_at_mut(width);
        let rows = self.x.chunks_exact(width).zip(self.moments);
        let rows = rows.zip(self.dy.chunks_exact(width));
        for (((x, &(mean, inverse)), dy), dx) in rows.zip(self.dx.chunks_exact_mut(width)) {
            add_scaled(1.0, dy, dshift);
            for (((dx, x), dy), (gain, dgain)) in dx
                .iter_mut()
                .zip(x)
                .zip(dy)
                .zip(gain.iter().zip(&mut *dgain))
            {
                *dgain += dy * (x - mean) * inverse;
                *dx = dy * gain;
            }
            through_moments(x, (mean, inverse), dx);
        }
        dw
    }
}
