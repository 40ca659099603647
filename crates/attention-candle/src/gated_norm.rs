//! A normalised row times a gate, thinned: the way out of an HSTU block (Zhai et al. 2024, equation 3).

use crate::dropout::Drop;
use crate::engine::Engine;
use crate::error::{Result, expect};
use crate::layer_norm::{Moments, moments, through_moments};
use crate::numeric::ROWS;
use crate::tape::Node;
use crate::tensor::{floats, input, like, output, rows};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use std::sync::{Mutex, PoisonError};

/// drop((x - mean)/√(variance + ε) ∘ gate) over the last axis of x and gate, both `[..., D]`.
///
/// Cost: one pass over both forward, one backward; two numbers a row are kept between.
///
/// ```
/// use attention_candle::{Drop, Engine, gated_norm};
/// use candle_core::{Device, Tensor};
/// let engine = Engine::new(attention::Workers::serial());
/// let x = Tensor::new(&[[1f32, 3.0]], &Device::Cpu)?;
/// let gate = Tensor::new(&[[0.5f32, 2.0]], &Device::Cpu)?;
/// let y = gated_norm(&engine, &x, &gate, 0.0, Drop::NONE)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[-0.5, 2.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the gate is not of x's shape.
pub fn gated_norm(
    engine: &Engine,
    x: &Tensor,
    gate: &Tensor,
    epsilon: f32,
    drop: Drop,
) -> Result<Tensor> {
    let (x, _, width) = rows("gated norm", x)?;
    let (gate, ..) = rows("gated norm", gate)?;
    expect("gated norm", "gate", "[..., D]", gate.dims(), x.dims())?;
    let op = GatedNorm {
        engine: engine.clone(),
        epsilon,
        drop,
        width,
        moments: Mutex::default(),
    };
    Ok(engine.apply(Node::Two([x, gate], Box::new(op)))?)
}

struct GatedNorm {
    engine: Engine,
    epsilon: f32,
    drop: Drop,
    width: usize,
    /// Of each row of x.
    moments: Mutex<Vec<Moments>>,
}

impl CustomOp2 for GatedNorm {
    fn name(&self) -> &'static str {
        "gated-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gate: &CpuStorage,
        gate_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, gate) = (input(x, x_layout)?, input(gate, gate_layout)?);
        let mut y = vec![0.0; x.len()];
        let mut moments = vec![Moments::default(); x.len() / self.width];
        let block = ROWS * self.width;
        let tasks = x.chunks(block).zip(gate.chunks(block)).enumerate();
        let tasks = tasks.zip(moments.chunks_mut(ROWS).zip(y.chunks_mut(block)));
        self.engine.run(tasks, |((n, (x, gate)), (moments, y))| {
            pulp::Arch::new().dispatch(Forward {
                op: self,
                first: n * ROWS,
                x,
                gate,
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
        gate: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (mut dx, mut dgate) = (vec![0.0; x.elem_count()], vec![0.0; x.elem_count()]);
        {
            let (x, gate, dy) = (floats(x)?, floats(gate)?, floats(&dy)?);
            let moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
            let block = ROWS * self.width;
            let rows = x.chunks(block).zip(moments.chunks(ROWS));
            let rows = rows.zip(gate.chunks(block).zip(dy.chunks(block)));
            let tasks = rows.zip(dx.chunks_mut(block).zip(dgate.chunks_mut(block)));
            let work = |(n, (((x, moments), (gate, dy)), (dx, dgate)))| {
                pulp::Arch::new().dispatch(Backward {
                    op: self,
                    first: n * ROWS,
                    x,
                    gate,
                    moments,
                    dy,
                    dx,
                    dgate,
                });
            };
            self.engine.run(tasks.enumerate(), work);
        }
        Ok((Some(like(dx, x)?), Some(like(dgate, gate)?)))
    }
}

struct Forward<'a> {
    op: &'a GatedNorm,
    first: usize,
    x: &'a [f32],
    gate: &'a [f32],
    moments: &'a mut [Moments],
    y: &'a mut [f32],
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let GatedNorm {
            width,
            epsilon,
            drop,
            ..
        } = *self.op;
        let rows = self
            .x
            .chunks_exact(width)
            .zip(self.gate.chunks_exact(width));
        let rows = rows.zip(self.y.chunks_exact_mut(width).zip(self.moments));
        for (n, ((x, gate), (y, kept))) in rows.enumerate() {
            let (mean, inverse) = moments(x, epsilon);
            *kept = (mean, inverse);
            for ((y, x), gate) in y.iter_mut().zip(x).zip(gate) {
                *y = (x - mean) * inverse * gate;
            }
            drop.thin(self.first + n, y);
        }
    }
}

struct Backward<'a> {
    op: &'a GatedNorm,
    first: usize,
    x: &'a [f32],
    gate: &'a [f32],
    moments: &'a [Moments],
    dy: &'a [f32],
    dx: &'a mut [f32],
    dgate: &'a mut [f32],
}

impl pulp::WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let GatedNorm { width, drop, .. } = *self.op;
        // dgate holds the gradient of the product until it is that of the gate.
        self.dgate.copy_from_slice(self.dy);
        let rows = self.x.chunks_exact(width).zip(self.moments);
        let rows = rows.zip(self.gate.chunks_exact(width));
        let outputs = self.dx.chunks_exact_mut(width);
        let outputs = outputs.zip(self.dgate.chunks_exact_mut(width));
        for (n, (((x, &moments), gate), (dx, dgate))) in rows.zip(outputs).enumerate() {
            drop.thin(self.first + n, dgate);
            let (mean, inverse) = moments;
            for (((dx, dgate), x), gate) in dx.iter_mut().zip(&mut *dgate).zip(x).zip(gate) {
                *dx = *dgate * gate;
                *dgate *= (x - mean) * inverse;
            }
            through_moments(x, moments, dx);
        }
    }
}
