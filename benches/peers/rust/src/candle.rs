//! candle: its CPU flash attention, and softmax between two matrix products.

use crate::cell::Cell;
use crate::{Call, Fault};
use candle_core::{Device, Result, Tensor};
use candle_nn::attention::{AttnMask, flash_attn};

struct Candle<F> {
    forward: F,
    answer: Option<Tensor>,
}

impl<F: Fn() -> Result<Tensor>> Call for Candle<F> {
    fn run(&mut self) -> std::result::Result<(), Fault> {
        self.answer = Some((self.forward)()?);
        Ok(())
    }

    fn output(&self) -> std::result::Result<Vec<f32>, Fault> {
        let answer = self
            .answer
            .as_ref()
            .ok_or_else(|| Fault::Failed("the cell was not run".into()))?;
        Ok(answer.flatten_all()?.to_vec1()?)
    }
}

fn tensors(cell: &Cell) -> std::result::Result<[Tensor; 3], Fault> {
    let [q, k, v] = ["q", "k", "v"].map(|name| {
        let (values, shape) = cell.tensor(name)?;
        Ok(Tensor::from_vec(values, &shape, &Device::Cpu)?)
    });
    let all: [std::result::Result<Tensor, Fault>; 3] = [q, k, v];
    let [q, k, v] = all;
    Ok([q?, k?, v?])
}

/// `flash_attn` on tensors that already have its layout `[B, N, H, D]`.
pub(crate) fn flash(cell: &Cell) -> std::result::Result<Box<dyn Call>, Fault> {
    let [q, k, v] = tensors(cell)?;
    let turned = |x: Tensor| x.transpose(1, 2)?.contiguous();
    let (q, k, v) = (turned(q)?, turned(k)?, turned(v)?);
    let (scale, causal) = (cell.scale, cell.causal());
    let forward = move || {
        let mask = if causal {
            AttnMask::causal()
        } else {
            AttnMask::None
        };
        flash_attn::<f32>(&q, &k, &v, scale, mask, None, None)
    };
    Ok(Box::new(Candle {
        forward,
        answer: None,
    }))
}

/// QKᵀ, softmax over the last axis, PV: what candle's models do on a CPU.
pub(crate) fn products(cell: &Cell) -> std::result::Result<Box<dyn Call>, Fault> {
    let [q, k, v] = tensors(cell)?;
    let scale = f64::from(cell.scale);
    let mask = if cell.causal() {
        let hidden = (0..cell.nq)
            .flat_map(|i| (0..cell.nk).map(move |j| if j <= i { 0.0 } else { f32::NEG_INFINITY }));
        let hidden: Vec<f32> = hidden.collect();
        Some(Tensor::from_vec(hidden, (cell.nq, cell.nk), &Device::Cpu)?)
    } else {
        None
    };
    let forward = move || {
        let scores = (q.matmul(&k.t()?)? * scale)?;
        let scores = match &mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        candle_nn::ops::softmax_last_dim(&scores)?.matmul(&v)
    };
    Ok(Box::new(Candle {
        forward,
        answer: None,
    }))
}
