//! What a causal convolution reads: each event beside the events before it.

use crate::engine::Engine;
use crate::error::Result;
use crate::jagged::{expect_offsets, history_of};
use crate::numeric::{ROWS, add_scaled};
use crate::tape::Node;
use crate::tensor::{floats, input, like, output, rows};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use std::sync::Arc;

/// Rows `[T, taps·D]` of x `[T, D]`: row t is x at t - (taps - 1)·dilation, ..., t - dilation, t, side by side,
/// with zeros for what is before its history's beginning; at least one tap.
///
/// A linear layer on it is a dilated causal convolution of `taps` (Yuan et al., WSDM 2019, equation 3) that does
/// not reach from one history into another. History b takes rows `offsets[b]..offsets[b + 1]`. Cost: one copy of
/// `taps`·T·D floats each way.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the offsets do not divide x.
///
/// ```
/// use attention_candle::{Engine, unfold_causal};
/// use candle_core::{Device, Tensor};
/// let engine = Engine::new(attention::Workers::serial());
/// let x = Tensor::new(&[[1f32], [2.0], [3.0], [4.0]], &Device::Cpu)?;
/// let y = unfold_causal(&engine, &x, [0, 3, 4], 2, 1)?; // the fourth event begins another history
/// assert_eq!(y.to_vec2::<f32>()?, [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [0.0, 4.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn unfold_causal(
    engine: &Engine,
    x: &Tensor,
    offsets: impl Into<Arc<[usize]>>,
    taps: usize,
    dilation: usize,
) -> Result<Tensor> {
    let (x, count, width) = rows("unfold", x)?;
    let offsets = offsets.into();
    expect_offsets("unfold", &offsets, count)?;
    let op = Unfold {
        engine: engine.clone(),
        offsets,
        taps: taps.max(1),
        dilation,
        width,
    };
    Ok(engine.apply(Node::One([x], Box::new(op)))?)
}

struct Unfold {
    engine: Engine,
    offsets: Arc<[usize]>,
    taps: usize,
    dilation: usize,
    width: usize,
}

impl Unfold {
    /// How far back each tap reads, in the order of the columns.
    fn reaches(&self) -> impl Iterator<Item = usize> {
        let dilation = self.dilation;
        (0..self.taps)
            .rev()
            .map(move |tap| tap.saturating_mul(dilation))
    }
}

impl CustomOp1 for Unfold {
    fn name(&self) -> &'static str {
        "unfold-causal"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, width) = (input(x, layout)?, self.width);
        let wide = self.taps * width;
        let count = x.len() / width;
        let mut y = vec![0.0; count * wide];
        let blocks = y.chunks_mut((ROWS * wide).max(1)).enumerate();
        self.engine.run(blocks, |(block, y)| {
            for (n, y) in y.chunks_exact_mut(wide).enumerate() {
                let row = block * ROWS + n;
                let (begin, _) = history_of(&self.offsets, row);
                for (reach, y) in self.reaches().zip(y.chunks_exact_mut(width)) {
                    if reach <= row - begin {
                        y.copy_from_slice(&x[(row - reach) * width..][..width]);
                    }
                }
            }
        });
        Ok(output(y, (count, wide)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let (dy, width) = (floats(&dy)?, self.width);
        let (dy, wide) = (&dy[..], self.taps * width);
        let mut dx = vec![0.0; x.elem_count()];
        let blocks = dx.chunks_mut(ROWS * width).enumerate();
        self.engine.run(blocks, |(block, dx)| {
            for (n, dx) in dx.chunks_exact_mut(width).enumerate() {
                let row = block * ROWS + n;
                let (_, end) = history_of(&self.offsets, row);
                for (tap, reach) in self.reaches().enumerate() {
                    if reach < end - row {
                        let read = &dy[(row + reach) * wide + tap * width..][..width];
                        add_scaled(1.0, read, dx);
                    }
                }
            }
        });
        like(dx, x).map(Some)
    }
}
