//! Cross-entropy over the whole catalogue.

mod tile;

use super::counted;
use crate::engine::Engine;
use crate::error::{Result, expect, expect_rows};
use crate::numeric::add;
use crate::ordered::ordered;
use crate::tape::Node;
use crate::tensor::{input, like, output, rows};
use attention::Scratch;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use std::sync::{Arc, Mutex, PoisonError};
use tile::Tile;

/// Positions of a task. Each makes a gradient of the whole catalogue, which is merged in order: few, so that this
/// is little beside its products.
const TASK: usize = 512;

/// factor·Σ -ln softmax(h_t·Eᵀ)\[target_t\] of states h `[T, D]` against all items E `[I, D]`.
///
/// Never more than a tile of logits exists: its gradients are computed with the loss, while the tile is in
/// cache (Hsu et al., Liger Kernel, 2024, section 3.2), with one product more than the textbook form where the
/// catalogue is larger than a tile. Cost: 6·T·I·D flops with gradients, 2·T·I·D without; memory
/// (T + I)·D a worker.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where targets or tables do not fit, [`Error::Row`](crate::Error::Row)
/// for a target beyond the catalogue.
pub fn softmax_loss(
    engine: &Engine,
    h: &Tensor,
    items: &Tensor,
    targets: impl Into<Arc<[u32]>>,
    factor: f32,
) -> Result<Tensor> {
    let targets = targets.into();
    let (h, positions, width) = rows("softmax loss", h)?;
    let (items, count, _) = rows("softmax loss", items)?;
    expect(
        "softmax loss",
        "items",
        "[I, D]",
        items.dims(),
        &[count, width],
    )?;
    expect(
        "softmax loss",
        "targets",
        "[T]",
        &[targets.len()],
        &[positions],
    )?;
    expect_rows("softmax loss", &counted(&targets), count)?;
    let op = Full {
        engine: engine.clone(),
        wanted: h.track_op() || items.track_op(),
        targets,
        factor,
        width,
        gradients: Mutex::default(),
    };
    Ok(engine.apply(Node::Two([h, items], Box::new(op)))?)
}

struct Full {
    engine: Engine,
    wanted: bool,
    targets: Arc<[u32]>,
    factor: f32,
    width: usize,
    /// By h and by the items, before what comes along the tape.
    gradients: Mutex<(Vec<f32>, Vec<f32>)>,
}

impl CustomOp2 for Full {
    fn name(&self) -> &'static str {
        "softmax-loss"
    }

    fn cpu_fwd(
        &self,
        h: &CpuStorage,
        h_layout: &Layout,
        items: &CpuStorage,
        items_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (h, items) = (input(h, h_layout)?, input(items, items_layout)?);
        let mut dh = vec![0.0; if self.wanted { h.len() } else { 0 }];
        let (mut loss, mut ditems) = (0.0, Vec::new());
        let block = TASK * self.width;
        let mut parts = dh.chunks_mut(block);
        let tasks = h
            .chunks(block)
            .zip(self.targets.chunks(TASK))
            .map(|(h, targets)| (h, targets, parts.next()));
        let work = |(h, targets, dh): (&[f32], &[u32], Option<&mut [f32]>)| {
            self.rows(h, items, targets, dh)
        };
        ordered(
            self.engine.workers(),
            tasks,
            work,
            |(part, dpart): (f64, Vec<f32>)| {
                loss += part;
                if ditems.is_empty() {
                    ditems = dpart;
                } else {
                    add(&dpart, &mut ditems);
                }
            },
        );
        *self
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = (dh, ditems);
        Ok(output(vec![loss as f32], ()))
    }

    fn bwd(
        &self,
        h: &Tensor,
        items: &Tensor,
        _: &Tensor,
        d_loss: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let d_loss = d_loss.to_scalar::<f32>()?;
        let (mut dh, mut ditems) = self
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // Without positions no task has made it.
        ditems.resize(items.elem_count(), 0.0);
        if d_loss != 1.0 {
            dh.iter_mut().chain(&mut ditems).for_each(|g| *g *= d_loss);
        }
        Ok((Some(like(dh, h)?), Some(like(ditems, items)?)))
    }
}

impl Full {
    /// Loss and the items' gradient of some positions, dH into its place.
    fn rows(
        &self,
        h: &[f32],
        items: &[f32],
        targets: &[u32],
        mut dh: Option<&mut [f32]>,
    ) -> (f64, Vec<f32>) {
        let mut ditems = vec![0.0; if dh.is_some() { items.len() } else { 0 }];
        let mut scratch = Scratch::new();
        let mut tile = Tile::new(items, self.width, &mut scratch);
        let mut total = 0.0;
        let block = tile::POSITIONS * self.width;
        let parts = h.chunks(block).zip(targets.chunks(tile::POSITIONS));
        for (n, (h, targets)) in parts.enumerate() {
            total += tile.loss(h, targets);
            if let Some(dh) = &mut dh {
                let dh = &mut dh[n * block..][..h.len()];
                tile.gradients(targets, self.factor, dh, &mut ditems);
            }
        }
        (total * f64::from(self.factor), ditems)
    }
}
