//! The recurrence of a gated recurrent unit, with its gradients.

mod backward;
mod forward;

use crate::engine::Engine;
use crate::error::{Result, expect};
use crate::jagged::expect_offsets;
use crate::numeric::add;
use crate::ordered::ordered;
use crate::tape::Node;
use crate::tensor::{floats, input, like, output, rows};
use backward::Backward;
use candle_core::{CpuStorage, CustomOp2, Device, Layout, Shape, Tensor};
use forward::Forward;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::sync::{Arc, Mutex, PoisonError};

/// Histories that take their steps together. Sums of gradients are made group by group, so that it is part of
/// the result.
const GROUP: usize = 16;

/// What is kept of an event for backward: r, z, n, and the product that r multiplies.
const KEPT: usize = 4;

/// States `[T, H]` of gated recurrent units over histories that lie end to end (Cho et al. 2014, equations 5 to 8,
/// in the form of cuDNN: the reset gate multiplies behind the product).
///
/// With u = h·W + b of the state before, `[u_r, u_z, u_n]`, and an event's `inputs` `[g_r, g_z, g_n]`:
/// r = σ(g_r + u_r), z = σ(g_z + u_z), n = tanh(g_n + r·u_n), h = (1 - z)·n + z·h. States begin at zero.
/// `inputs` are `[T, 3H]`, a linear layer of what the unit reads; `weight` is `[H + 1, 3H]`, b its last row; history b
/// takes rows `offsets[b]..offsets[b + 1]`.
///
/// Cost: 6·H² flops an event forward, twice that backward; 4·H floats an event are kept between. Histories take
/// their steps together, sixteen at a time: the products of a step have as many rows as there are histories left.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the weight or the offsets do not fit.
///
/// ```
/// use attention_candle::{Engine, gru};
/// use candle_core::{Device, Tensor};
/// let engine = Engine::new(attention::Workers::serial());
/// let inputs = Tensor::new(&[[0f32, 0.0, 1.0], [0.0, 0.0, 1.0]], &Device::Cpu)?;
/// let weight = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?;
/// let states = gru(&engine, &inputs, &weight, [0, 2])?; // both gates are 1/2
/// let states = states.flatten_all()?.to_vec1::<f32>()?;
/// let tanh = 1f32.tanh();
/// assert!((states[0] - 0.5 * tanh).abs() < 1e-6 && (states[1] - 0.75 * tanh).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn gru(
    engine: &Engine,
    inputs: &Tensor,
    weight: &Tensor,
    offsets: impl Into<Arc<[usize]>>,
) -> Result<Tensor> {
    let (inputs, count, wide) = rows("gru", inputs)?;
    let (width, offsets) = (wide / 3, offsets.into());
    expect(
        "gru",
        "inputs",
        "[T, 3H]",
        inputs.dims(),
        &[count, 3 * width],
    )?;
    expect(
        "gru",
        "weight",
        "[H + 1, 3H]",
        weight.dims(),
        &[width + 1, 3 * width],
    )?;
    expect_offsets("gru", &offsets, count)?;
    let op = Gru {
        engine: engine.clone(),
        offsets,
        width,
        kept: Mutex::default(),
    };
    let inputs = [inputs, weight.contiguous()?];
    Ok(engine.apply(Node::Two(inputs, Box::new(op)))?)
}

/// States `[B, H]` one event behind those before, `[B, H]`, with that event's `inputs` `[B, 3H]`: a step of
/// [`gru`] for models in use, without a gradient and on the calling thread.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the weight or the states do not fit.
pub fn gru_step(inputs: &Tensor, weight: &Tensor, before: &Tensor) -> Result<Tensor> {
    let (inputs, count, wide) = rows("gru", inputs)?;
    let width = wide / 3;
    for (tensor, letters, found, expected) in [
        ("inputs", "[B, 3H]", inputs.dims(), [count, 3 * width]),
        (
            "weight",
            "[H + 1, 3H]",
            weight.dims(),
            [width + 1, 3 * width],
        ),
        ("states", "[B, H]", before.dims(), [count, width]),
    ] {
        expect("gru", tensor, letters, found, &expected)?;
    }
    let (weight, before) = (weight.contiguous()?, before.contiguous()?);
    let mut states = vec![0.0; count * width];
    Forward {
        width,
        offsets: &(0..=count).collect::<Vec<_>>(),
        inputs: &floats(&inputs)?,
        weight: &floats(&weight)?,
        before: Some(&floats(&before)?),
        states: &mut states,
        kept: &mut vec![0.0; count * KEPT * width],
    }
    .run();
    Ok(Tensor::from_vec(states, (count, width), &Device::Cpu)?)
}

struct Gru {
    engine: Engine,
    offsets: Arc<[usize]>,
    width: usize,
    /// `[T, KEPT, H]`.
    kept: Mutex<Vec<f32>>,
}

impl Gru {
    /// Offsets of the groups' histories.
    fn groups(&self) -> impl Iterator<Item = &[usize]> {
        let histories = self.offsets.len() - 1;
        (0..histories)
            .step_by(GROUP)
            .map(move |first| &self.offsets[first..=(first + GROUP).min(histories)])
    }
}

impl CustomOp2 for Gru {
    fn name(&self) -> &'static str {
        "gru"
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (inputs, weight) = (input(inputs, inputs_layout)?, input(weight, weight_layout)?);
        let (width, count) = (self.width, inputs.len() / (3 * self.width));
        let mut states = vec![0.0; count * width];
        let mut kept = vec![0.0; count * KEPT * width];
        let (mut states_left, mut kept_left) = (&mut states[..], &mut kept[..]);
        let mut tasks = Vec::new();
        for offsets in self.groups() {
            let events = offsets[offsets.len() - 1] - offsets[0];
            tasks.push(Forward {
                width,
                offsets,
                inputs: &inputs[offsets[0] * 3 * width..][..events * 3 * width],
                weight,
                before: None,
                states: cut(&mut states_left, events * width),
                kept: cut(&mut kept_left, events * KEPT * width),
            });
        }
        self.engine.run(tasks, Forward::run);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(output(states, (count, width)))
    }

    fn bwd(
        &self,
        inputs: &Tensor,
        weight: &Tensor,
        states: &Tensor,
        d_states: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let d_states = d_states.contiguous()?;
        let mut d_inputs = vec![0.0; inputs.elem_count()];
        let mut d_weight = vec![0.0; weight.elem_count()];
        {
            let (weight, states, d_states) = (floats(weight)?, floats(states)?, floats(&d_states)?);
            let (weight, states, d_states) = (&weight[..], &states[..], &d_states[..]);
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let (width, mut left) = (self.width, &mut d_inputs[..]);
            let mut tasks = Vec::new();
            for offsets in self.groups() {
                let (first, events) = (offsets[0], offsets[offsets.len() - 1] - offsets[0]);
                tasks.push(Backward {
                    width,
                    offsets,
                    weight,
                    states: &states[first * width..][..events * width],
                    d_states: &d_states[first * width..][..events * width],
                    kept: &kept[first * KEPT * width..][..events * KEPT * width],
                    d_inputs: cut(&mut left, events * 3 * width),
                });
            }
            ordered(self.engine.workers(), tasks, Backward::run, |part| {
                add(&part, &mut d_weight)
            });
        }
        Ok((Some(like(d_inputs, inputs)?), Some(like(d_weight, weight)?)))
    }
}

/// Takes so many floats from the front.
fn cut<'a>(left: &mut &'a mut [f32], count: usize) -> &'a mut [f32] {
    let (front, back) = std::mem::take(left).split_at_mut(count);
    *left = back;
    front
}

/// Histories by length, the longest first, so that those that take a step are the first ones.
fn by_length(offsets: &[usize]) -> Vec<(usize, usize)> {
    let mut order: Vec<_> = offsets
        .windows(2)
        .map(|bounds| (bounds[0] - offsets[0], bounds[1] - bounds[0]))
        .collect();
    order.sort_by_key(|&(_, length)| std::cmp::Reverse(length));
    order
}

fn matrix(data: &[f32], columns: usize) -> ArrayView2<'_, f32> {
    let shape = (data.len() / columns.max(1), columns);
    ArrayView2::from_shape(shape, data).expect("whole rows of a checked shape")
}

fn matrix_mut(data: &mut [f32], columns: usize) -> ArrayViewMut2<'_, f32> {
    let shape = (data.len() / columns.max(1), columns);
    ArrayViewMut2::from_shape(shape, data).expect("whole rows of a checked shape")
}
