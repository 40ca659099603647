//! Layer normalisation with its gradients (Ba, Kiros & Hinton 2016, equation 4), and what follows it in one pass.

mod rows;

use crate::affine::Activation;
use crate::engine::Engine;
use crate::error::{Result, expect};
use crate::numeric::{ROWS, add};
use crate::ordered::ordered;
use crate::tape::Node;
use crate::tensor::{self, floats, input, like, output};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};
use rows::{Backward, Forward};
pub(crate) use rows::{Moments, moments, through_moments};
use std::sync::{Mutex, PoisonError};

/// (x - mean)/√(variance + ε)·gain + shift over the last axis of x `[..., D]`; `weight` is `[2, D]`: gain,
/// then shift.
///
/// Cost: one pass over x forward, two backward; two numbers a row are kept between.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where `weight` does not fit x.
pub fn layer_norm(engine: &Engine, x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
    LayerNorm::new(engine, epsilon).forward(x, weight)
}

/// residual + activation([`layer_norm`](layer_norm())(x)), of which all but the norm may be left out.
///
/// Cost: as the norm's; what the activation was given is computed anew for backward.
///
/// ```
/// use attention_candle::{Activation, Engine, LayerNorm};
/// use candle_core::{DType, Device, Tensor};
/// let engine = Engine::new(attention::Workers::serial());
/// let x = Tensor::new(&[[1f32, 3.0]], &Device::Cpu)?;
/// let weight = Tensor::new(&[[2f32, 2.0], [0.0, 0.0]], &Device::Cpu)?; // gain, shift
/// let norm = LayerNorm::new(&engine, 0.0).with_activation(Activation::Relu);
/// assert_eq!(norm.forward_onto(&x, &x, &weight)?.to_vec2::<f32>()?, [[1.0, 5.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct LayerNorm {
    engine: Engine,
    epsilon: f32,
    activation: Activation,
}

impl LayerNorm {
    /// The norm alone.
    #[must_use]
    pub fn new(engine: &Engine, epsilon: f32) -> Self {
        Self {
            engine: engine.clone(),
            epsilon,
            activation: Activation::Identity,
        }
    }

    /// With an activation.
    #[must_use]
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// y `[..., D]` of x `[..., D]` and a weight `[2, D]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the weight does not fit x.
    pub fn forward(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (x, op) = self.op(x, weight)?;
        let inputs = [x, weight.contiguous()?];
        Ok(self.engine.apply(Node::Two(inputs, Box::new(op)))?)
    }

    /// As [`forward`](Self::forward), added to `residual` `[..., D]`.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward), and where the residual does not fit.
    pub fn forward_onto(&self, residual: &Tensor, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (x, op) = self.op(x, weight)?;
        expect(
            "layer norm",
            "residual",
            "[..., D]",
            residual.dims(),
            x.dims(),
        )?;
        let inputs = [x, weight.contiguous()?, residual.contiguous()?];
        Ok(self.engine.apply(Node::Three(inputs, Box::new(op)))?)
    }

    fn op(&self, x: &Tensor, weight: &Tensor) -> Result<(Tensor, Normalise)> {
        let (x, _, width) = tensor::rows("layer norm", x)?;
        expect("layer norm", "weight", "[2, D]", weight.dims(), &[2, width])?;
        let op = Normalise {
            norm: self.clone(),
            width: width.max(1),
            moments: Mutex::default(),
        };
        Ok((x, op))
    }
}

struct Normalise {
    norm: LayerNorm,
    width: usize,
    /// Of each row.
    moments: Mutex<Vec<Moments>>,
}

impl Normalise {
    fn forward(&self, x: &[f32], weight: &[f32], residual: Option<&[f32]>) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        let mut moments = vec![Moments::default(); x.len() / self.width];
        let block = ROWS * self.width;
        let tasks = x.chunks(block).zip(y.chunks_mut(block)).enumerate();
        let tasks = tasks.zip(moments.chunks_mut(ROWS));
        self.norm.engine.run(tasks, |((n, (x, y)), moments)| {
            pulp::Arch::new().dispatch(Forward {
                op: self,
                x,
                weight,
                residual: residual.map(|all| &all[n * block..][..x.len()]),
                moments,
                y,
            });
        });
        *self.moments.lock().unwrap_or_else(PoisonError::into_inner) = moments;
        y
    }

    /// dX and dW.
    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let (mut dx, mut dw) = (vec![0.0; x.elem_count()], vec![0.0; 2 * self.width]);
        {
            let (x, w, dy) = (floats(x)?, floats(weight)?, floats(dy)?);
            let (weight, block) = (&w[..], ROWS * self.width);
            let moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
            let rows = x.chunks(block).zip(moments.chunks(ROWS));
            let tasks = rows.zip(dy.chunks(block)).zip(dx.chunks_mut(block));
            let work = |(((x, moments), dy), dx)| {
                pulp::Arch::new().dispatch(Backward {
                    activation: self.norm.activation,
                    x,
                    weight,
                    moments,
                    dy,
                    dx,
                })
            };
            ordered(self.norm.engine.workers(), tasks, work, |part| {
                add(&part, &mut dw)
            });
        }
        Ok((like(dx, x)?, like(dw, weight)?))
    }
}

impl CustomOp2 for Normalise {
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
        let y = self.forward(input(x, x_layout)?, input(weight, weight_layout)?, None);
        Ok(output(y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.backward(x, weight, &dy.contiguous()?)?;
        Ok((Some(dx), Some(dw)))
    }
}

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        "layer-norm-onto"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let residual = input(residual, residual_layout)?;
        let (x, weight) = (input(x, x_layout)?, input(weight, weight_layout)?);
        let y = self.forward(x, weight, Some(residual));
        Ok(output(y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        residual: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (dx, dw) = self.backward(x, weight, &dy)?;
        Ok((Some(dx), Some(dw), residual.track_op().then_some(dy)))
    }
}
