//! Scores of states against a catalogue, without gradients.

use crate::engine::Engine;
use crate::error::{Result, expect};
use crate::tensor::{floats, rows};
use attention_naive::product;
use candle_core::Tensor;
use ndarray::{ArrayView2, ArrayViewMut2, Axis};

/// States that a worker scores at once.
const STATES: usize = 16;

/// Writes h·Eᵀ `[T, I]` of states h `[T, D]` and items E `[I, D]`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the shapes do not fit.
pub fn logits(
    engine: &Engine,
    h: &Tensor,
    items: &Tensor,
    mut out: ArrayViewMut2<'_, f32>,
) -> Result<()> {
    let (items, count, width) = rows("logits", items)?;
    let states = h.elem_count() / width;
    expect("logits", "h", "[T, D]", h.dims(), &[states, width])?;
    expect("logits", "out", "[T, I]", out.shape(), &[states, count])?;
    let h = h.contiguous()?;
    let (h, items) = (floats(&h)?, floats(&items)?);
    let view =
        |data, rows| ArrayView2::from_shape((rows, width), data).map_err(candle_core::Error::wrap);
    let (h, items) = (view(&h[..], states)?, view(&items[..], count)?);
    let blocks = h
        .axis_chunks_iter(Axis(0), STATES)
        .zip(out.axis_chunks_iter_mut(Axis(0), STATES));
    engine.run(blocks, |(h, out)| product(1.0, false, h, items.t(), out));
    Ok(())
}
