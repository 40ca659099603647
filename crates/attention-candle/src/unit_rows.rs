//! Rows of unit length, with their gradients: what cosines are products of.

use crate::engine::Engine;
use crate::error::Result;
use crate::numeric::{ROWS, dot};
use crate::tape::Node;
use crate::tensor::{floats, input, like, output, rows};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// factor·x/√(Σx² + ε²) over the last axis of x `[..., D]`: a row of zeros stays one.
///
/// Cost: one pass over x forward, one backward; nothing is kept between.
///
/// ```
/// use attention_candle::{Engine, unit_rows};
/// use candle_core::{Device, Tensor};
/// let engine = Engine::new(attention::Workers::serial());
/// let x = Tensor::new(&[[3f32, 4.0], [0.0, 0.0]], &Device::Cpu)?;
/// let y = unit_rows(&engine, &x, 10.0, 1e-6)?.to_vec2::<f32>()?;
/// assert!((y[0][0] - 6.0).abs() < 1e-5 && (y[0][1] - 8.0).abs() < 1e-5);
/// assert_eq!(y[1], [0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where x has no columns, [`Error::Candle`](crate::Error::Candle) where it
/// is not f32.
pub fn unit_rows(engine: &Engine, x: &Tensor, factor: f32, epsilon: f32) -> Result<Tensor> {
    let (x, _, width) = rows("unit rows", x)?;
    let op = UnitRows {
        engine: engine.clone(),
        scaling: Scaling { factor, epsilon },
        width,
    };
    Ok(engine.apply(Node::One([x], Box::new(op)))?)
}

struct UnitRows {
    engine: Engine,
    scaling: Scaling,
    width: usize,
}

#[derive(Clone, Copy)]
struct Scaling {
    factor: f32,
    epsilon: f32,
}

impl Scaling {
    /// 1/√(Σx² + ε²).
    #[inline(always)]
    fn inverse(self, x: &[f32]) -> f32 {
        1.0 / (dot(x, x) + self.epsilon * self.epsilon).sqrt()
    }
}

impl CustomOp1 for UnitRows {
    fn name(&self) -> &'static str {
        "unit-rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = input(x, layout)?;
        let mut y = vec![0.0; x.len()];
        let block = ROWS * self.width;
        let tasks = x.chunks(block).zip(y.chunks_mut(block));
        self.engine.run(tasks, |(x, y)| {
            pulp::Arch::new().dispatch(Forward {
                scaling: self.scaling,
                width: self.width,
                x,
                y,
            });
        });
        Ok(output(y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let mut dx = vec![0.0; x.elem_count()];
        {
            let (x, dy) = (floats(x)?, floats(&dy)?);
            let block = ROWS * self.width;
            let tasks = x.chunks(block).zip(dy.chunks(block));
            let tasks = tasks.zip(dx.chunks_mut(block));
            self.engine.run(tasks, |((x, dy), dx)| {
                pulp::Arch::new().dispatch(Backward {
                    scaling: self.scaling,
                    width: self.width,
                    x,
                    dy,
                    dx,
                });
            });
        }
        like(dx, x).map(Some)
    }
}

struct Forward<'a> {
    scaling: Scaling,
    width: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let rows = self.x.chunks_exact(self.width);
        for (x, y) in rows.zip(self.y.chunks_exact_mut(self.width)) {
            let scale = self.scaling.factor * self.scaling.inverse(x);
            for (y, x) in y.iter_mut().zip(x) {
                *y = scale * x;
            }
        }
    }
}

struct Backward<'a> {
    scaling: Scaling,
    width: usize,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl pulp::WithSimd for Backward<'_> {
    type Output = ();

    /// dx = factor·n·(dy - x·n²·(x·dy)) with n = 1/√(Σx² + ε²).
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let rows = self.x.chunks_exact(self.width);
        let rows = rows.zip(self.dy.chunks_exact(self.width));
        for ((x, dy), dx) in rows.zip(self.dx.chunks_exact_mut(self.width)) {
            let inverse = self.scaling.inverse(x);
            // n·(x·dy) first: n² alone overflows where a row is near 0.
            let along = inverse * (inverse * dot(x, dy));
            let scale = self.scaling.factor * inverse;
            for ((dx, dy), x) in dx.iter_mut().zip(dy).zip(x) {
                *dx = scale * (dy - along * x);
            }
        }
    }
}
