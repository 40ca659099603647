//! Losses over a positive item and sampled negatives.

mod rows;

use super::counted;
use crate::engine::Engine;
use crate::error::{Error, Result, expect, expect_rows};
use crate::numeric::ROWS;
use crate::ordered::ordered;
use crate::tape::Node;
use crate::tensor::{self, floats, input, like, output};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use rows::{Forward, Items, States};
use std::sync::{Arc, Mutex, PoisonError};

/// What is asked of the logits of a positive item and its negatives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// -β·ln σ(s⁺) - Σ ln(1 - σ(s⁻)).
    ///
    /// β = 1 is the loss of SASRec (Kang & McAuley 2018, equation 6), a smaller one that of gSASRec
    /// (Petrov & Macdonald 2023, equation 13), which undoes the overconfidence that sampling brings.
    BinaryCrossEntropy {
        /// The power of the positive's probability.
        beta: f32,
    },
    /// -ln of the positive's share in Σ exp(s), over itself and the negatives (Jean et al. 2015, with
    /// negatives that are equally likely).
    Softmax,
}

/// The loss of states h `[T, D]` against rows of `table` `[I, D]`; `candidates` `[T, 1 + negatives]` are row
/// indices, the positive first, and the loss is multiplied by `factor`.
///
/// Cost: 2·D flops a candidate forward, twice that backward, and a float a candidate kept between. The
/// table's gradient is as large as the table: give it the rows of a batch, not a catalogue.
///
/// # Errors
/// [`Error::Shape`] where the candidates do not divide by T or the tables differ in D; [`Error::Row`] for an
/// index beyond the table.
pub fn sampled_loss(
    engine: &Engine,
    h: &Tensor,
    table: &Tensor,
    candidates: impl Into<Arc<[u32]>>,
    objective: Objective,
    factor: f32,
) -> Result<Tensor> {
    let candidates = candidates.into();
    let (h, positions, width) = tensor::rows("sampled loss", h)?;
    let (table, count, _) = tensor::rows("sampled loss", table)?;
    expect(
        "sampled loss",
        "table",
        "[I, D]",
        table.dims(),
        &[count, width],
    )?;
    let each = candidates.len() / positions.max(1);
    if each * positions != candidates.len() || each == 0 && positions > 0 {
        return Err(Error::Shape {
            op: "sampled loss",
            tensor: "candidates",
            found: vec![candidates.len()],
            expected: format!("[T, 1 + negatives] with T = {positions}"),
        });
    }
    expect_rows("sampled loss", &counted(&candidates), count)?;
    let op = Sampled {
        engine: engine.clone(),
        candidates,
        each: each.max(1),
        objective,
        factor,
        width,
        slopes: Mutex::default(),
    };
    Ok(engine.apply(Node::Two([h, table], Box::new(op)))?)
}

struct Sampled {
    engine: Engine,
    candidates: Arc<[u32]>,
    each: usize,
    objective: Objective,
    factor: f32,
    width: usize,
    /// ∂loss/∂logit, `[T, 1 + negatives]`.
    slopes: Mutex<Vec<f32>>,
}

impl CustomOp2 for Sampled {
    fn name(&self) -> &'static str {
        "sampled-loss"
    }

    fn cpu_fwd(
        &self,
        h: &CpuStorage,
        h_layout: &Layout,
        table: &CpuStorage,
        table_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (h, table) = (input(h, h_layout)?, input(table, table_layout)?);
        let mut slopes = vec![0.0; self.candidates.len()];
        let mut loss = 0.0;
        let block = ROWS * self.each;
        let parts = slopes.chunks_mut(block).zip(self.candidates.chunks(block));
        let tasks = parts.zip(h.chunks(ROWS * self.width));
        let work = |((slopes, candidates), h)| {
            pulp::Arch::new().dispatch(Forward {
                op: self,
                h,
                table,
                candidates,
                slopes,
            })
        };
        ordered(self.engine.workers(), tasks, work, |part: f64| loss += part);
        *self.slopes.lock().unwrap_or_else(PoisonError::into_inner) = slopes;
        Ok(output(vec![loss as f32], ()))
    }

    fn bwd(
        &self,
        h: &Tensor,
        table: &Tensor,
        _: &Tensor,
        d_loss: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let d_loss = d_loss.to_scalar::<f32>()?;
        let slopes = self.slopes.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut dh, mut dtable) = (vec![0.0; h.elem_count()], vec![0.0; table.elem_count()]);
        {
            let (h, table) = (floats(h)?, floats(table)?);
            let (h, table) = (&h[..], &table[..]);
            let block = ROWS * self.each;
            let parts = slopes.chunks(block).zip(self.candidates.chunks(block));
            let tasks = parts.zip(dh.chunks_mut(ROWS * self.width));
            self.engine.run(tasks, |((slopes, candidates), dh)| {
                pulp::Arch::new().dispatch(States {
                    op: self,
                    d_loss,
                    table,
                    candidates,
                    slopes,
                    dh,
                });
            });
            let each = (dtable.len() / self.width)
                .div_ceil(self.engine.workers().threads())
                .max(1);
            let parts = dtable.chunks_mut(each * self.width).enumerate();
            self.engine.run(parts, |(part, dtable)| {
                pulp::Arch::new().dispatch(Items {
                    op: self,
                    d_loss,
                    h,
                    slopes: &slopes,
                    first: part * each,
                    dtable,
                });
            });
        }
        Ok((Some(like(dh, h)?), Some(like(dtable, table)?)))
    }
}
