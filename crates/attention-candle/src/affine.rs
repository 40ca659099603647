//! A linear layer with what surrounds it: bias, activation, dropout and residual, in one pass over its rows.

mod activation;
mod rows;

pub use activation::Activation;

use crate::dropout::Drop;
use crate::engine::Engine;
use crate::error::{Result, expect};
use crate::numeric::{ROWS, add};
use crate::ordered::ordered;
use crate::tape::Node;
use crate::tensor::{self, floats, input, like, output};
use attention_naive::product;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};
use ndarray::{ArrayView2, ArrayViewMut2};
use rows::{Columns, Finish, Unfinish};
use std::sync::{Mutex, PoisonError};

/// residual + drop(factor·activation(x·W + b)), of which every part but the product may be left out.
///
/// The weight `[in + 1, out]` has b as its last row. Cost: 2·in·out flops a row forward, twice that backward;
/// the sums before the activation are kept for backward, where there is one.
///
/// ```
/// use attention_candle::{Activation, Affine, Engine};
/// use candle_core::{Device, Tensor};
/// let engine = Engine::new(attention::Workers::serial());
/// let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
/// let weight = Tensor::new(&[[1f32], [10.0], [-30.0]], &Device::Cpu)?; // the last row is the bias
/// let y = Affine::new(&engine).with_activation(Activation::Relu).forward(&x, &weight)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[0.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Affine {
    engine: Engine,
    activation: Activation,
    factor: f32,
    drop: Drop,
}

impl Affine {
    /// The product and the bias alone.
    #[must_use]
    pub fn new(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            activation: Activation::Identity,
            factor: 1.0,
            drop: Drop::NONE,
        }
    }

    /// With an activation.
    #[must_use]
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// With a factor of what the activation gives.
    #[must_use]
    pub fn with_factor(mut self, factor: f32) -> Self {
        self.factor = factor;
        self
    }

    /// With dropout behind the activation.
    #[must_use]
    pub fn with_drop(mut self, drop: Drop) -> Self {
        self.drop = drop;
        self
    }

    /// y `[..., out]` of x `[..., in]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the weight does not fit x.
    pub fn forward(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (x, op) = self.op(x, weight)?;
        let inputs = [x, weight.contiguous()?];
        Ok(self.engine.apply(Node::Two(inputs, Box::new(op)))?)
    }

    /// As [`forward`](Self::forward), added to `residual` `[..., out]`.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward), and where the residual does not fit.
    pub fn forward_onto(&self, residual: &Tensor, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (x, op) = self.op(x, weight)?;
        let shape = op.shape(x.dims());
        expect("affine", "residual", "[..., out]", residual.dims(), &shape)?;
        let inputs = [x, weight.contiguous()?, residual.contiguous()?];
        Ok(self.engine.apply(Node::Three(inputs, Box::new(op)))?)
    }

    fn op(&self, x: &Tensor, weight: &Tensor) -> Result<(Tensor, Linear)> {
        let (x, _, width) = tensor::rows("affine", x)?;
        let out = weight.dims().last().copied().unwrap_or(0);
        expect(
            "affine",
            "weight",
            "[in + 1, out]",
            weight.dims(),
            &[width + 1, out],
        )?;
        let op = Linear {
            affine: self.clone(),
            width,
            out,
            sums: Mutex::default(),
        };
        Ok((x, op))
    }
}

struct Linear {
    affine: Affine,
    width: usize,
    out: usize,
    /// What the activation was given.
    sums: Mutex<Vec<f32>>,
}

impl Linear {
    fn shape(&self, x: &[usize]) -> Vec<usize> {
        let mut shape = x.to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.out;
        }
        shape
    }

    fn forward(&self, x: &[f32], weight: &[f32], residual: Option<&[f32]>) -> Vec<f32> {
        let rows = x.len() / self.width.max(1);
        let mut y = vec![0.0; rows * self.out];
        let kept = self.affine.activation != Activation::Identity;
        let mut sums = vec![0.0; if kept { y.len() } else { 0 }];
        let block = ROWS * self.out.max(1);
        let mut parts = sums.chunks_mut(block);
        let tasks = y.chunks_mut(block).enumerate().map(|(n, y)| {
            let residual = residual.map(|all| &all[n * block..][..y.len()]);
            (n, y, parts.next(), residual)
        });
        self.affine.engine.run(tasks, |(n, y, sums, residual)| {
            let count = y.len() / self.out;
            let x = &x[n * ROWS * self.width..][..count * self.width];
            let (matrix, bias) = weight.split_at(self.width * self.out);
            product(
                1.0,
                false,
                matrix_of(x, self.width),
                matrix_of(matrix, self.out),
                matrix_mut(y, self.out),
            );
            pulp::Arch::new().dispatch(Finish {
                op: self,
                first: n * ROWS,
                bias,
                residual,
                sums,
                y,
            });
        });
        *self.sums.lock().unwrap_or_else(PoisonError::into_inner) = sums;
        y
    }

    /// dX and dW.
    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Tensor)> {
        let wanted = x.track_op();
        let mut dx = vec![0.0; if wanted { x.elem_count() } else { 0 }];
        let mut dw = vec![0.0; weight.elem_count()];
        {
            let (x, weight, dy) = (floats(x)?, floats(weight)?, floats(dy)?);
            let (x, dy) = (&x[..], &dy[..]);
            let matrix = matrix_of(&weight[..self.width * self.out], self.out);
            let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
            let (block, sums) = (ROWS * self.out.max(1), &sums[..]);
            let mut parts = dx.chunks_mut(ROWS * self.width.max(1));
            let tasks = dy.chunks(block).map(|dy| (dy, parts.next())).enumerate();
            let work = |(n, (dy, dx)): (usize, (&[f32], Option<&mut [f32]>))| {
                let sums = sums
                    .get(n * block..)
                    .map_or(&[][..], |sums| &sums[..dy.len().min(sums.len())]);
                let mut dsums = dy.to_vec();
                pulp::Arch::new().dispatch(Unfinish {
                    op: self,
                    first: n * ROWS,
                    sums,
                    dsums: &mut dsums,
                });
                let dsums_view = matrix_of(&dsums, self.out);
                if let Some(dx) = dx {
                    product(
                        1.0,
                        false,
                        dsums_view,
                        matrix.t(),
                        matrix_mut(dx, self.width),
                    );
                }
                let x = &x[n * ROWS * self.width..][..dsums_view.nrows() * self.width];
                let mut dw = vec![0.0; (self.width + 1) * self.out];
                let (dmatrix, dbias) = dw.split_at_mut(self.width * self.out);
                product(
                    1.0,
                    false,
                    matrix_of(x, self.width).t(),
                    dsums_view,
                    matrix_mut(dmatrix, self.out),
                );
                pulp::Arch::new().dispatch(Columns {
                    rows: &dsums,
                    sums: dbias,
                });
                dw
            };
            ordered(self.affine.engine.workers(), tasks, work, |part| {
                add(&part, &mut dw)
            });
        }
        let dx = wanted.then(|| like(dx, x)).transpose()?;
        Ok((dx, like(dw, weight)?))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = self.forward(input(x, x_layout)?, input(weight, weight_layout)?, None);
        Ok(output(y, self.shape(x_layout.dims())))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.backward(x, weight, &dy.contiguous()?)?;
        Ok((dx, Some(dw)))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "affine-onto"
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
        let y = self.forward(
            input(x, x_layout)?,
            input(weight, weight_layout)?,
            Some(residual),
        );
        Ok(output(y, self.shape(x_layout.dims())))
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
        Ok((dx, Some(dw), residual.track_op().then_some(dy)))
    }
}

fn matrix_of(data: &[f32], columns: usize) -> ArrayView2<'_, f32> {
    let shape = (data.len() / columns.max(1), columns);
    ArrayView2::from_shape(shape, data).expect("whole rows of a checked shape")
}

fn matrix_mut(data: &mut [f32], columns: usize) -> ArrayViewMut2<'_, f32> {
    let shape = (data.len() / columns.max(1), columns);
    ArrayViewMut2::from_shape(shape, data).expect("whole rows of a checked shape")
}
