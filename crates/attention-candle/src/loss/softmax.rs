//! Cross-entropy over the whole catalogue.

use super::{SKIP, counted};
use crate::engine::Engine;
use crate::error::{Result, expect, expect_rows};
use crate::numeric::{ROWS, add, exp_nonpositive};
use crate::ordered::ordered;
use crate::tape::Node;
use crate::tensor::{input, like, output, rows};
use attention_naive::product;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use std::sync::{Arc, Mutex, PoisonError};

/// Positions and items of a block of logits: half a megabyte, to stay in an L2 cache.
const POSITIONS: usize = 32;
const ITEMS: usize = 4096;

/// factor·Σ -ln softmax(h_t·Eᵀ)\[target_t\] of states h `[T, D]` against all items E `[I, D]`.
///
/// Never more than a block of logits exists: its gradients are computed with the loss, while the block is in
/// cache (Hsu et al., Liger Kernel, 2024, section 3.2), with one product more than the textbook form where the
/// catalogue is larger than a block. Cost: 6·T·I·D flops with gradients, 2·T·I·D without; memory
/// (T + I)·D.
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
        let block = ROWS * self.width;
        let mut parts = dh.chunks_mut(block);
        let tasks = h
            .chunks(block)
            .zip(self.targets.chunks(ROWS))
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
        let width = self.width;
        let mut ditems = vec![0.0; if dh.is_some() { items.len() } else { 0 }];
        let mut logits = vec![0.0; POSITIONS.min(targets.len()) * ITEMS.min(items.len() / width)];
        let mut total = 0.0;
        let all = matrix(items, width);
        for (n, (h, targets)) in h
            .chunks(POSITIONS * width)
            .zip(targets.chunks(POSITIONS))
            .enumerate()
        {
            let h = matrix(h, width);
            let mut sums = vec![(f32::NEG_INFINITY, 0.0); targets.len()];
            let mut chosen = vec![0.0; targets.len()];
            let blocks = || {
                (0..all.nrows())
                    .step_by(ITEMS)
                    .map(|first| first..all.nrows().min(first + ITEMS))
            };
            let one = all.nrows() <= ITEMS;
            for block in blocks() {
                let e = all.slice_axis(Axis(0), block.clone().into());
                let logits = &mut logits[..targets.len() * block.len()];
                product(1.0, false, h, e.t(), matrix_mut(logits, block.len()));
                for ((row, &target), chosen) in logits
                    .chunks_exact(block.len())
                    .zip(targets)
                    .zip(&mut chosen)
                {
                    if block.contains(&(target as usize)) {
                        *chosen = row[target as usize - block.start];
                    }
                }
                pulp::Arch::new().dispatch(Sums {
                    logits,
                    columns: block.len(),
                    sums: &mut sums,
                });
            }
            let normaliser = |&(max, sum): &(f32, f32)| max + sum.ln();
            let lines = sums
                .iter()
                .zip(&chosen)
                .zip(targets)
                .filter(|(_, target)| **target != SKIP);
            total += lines
                .map(|((sum, chosen), _)| f64::from(normaliser(sum) - chosen))
                .sum::<f64>();
            let Some(dh) = &mut dh else { continue };
            let dh = &mut dh[n * POSITIONS * width..][..targets.len() * width];
            for block in blocks() {
                let e = all.slice_axis(Axis(0), block.clone().into());
                let logits = &mut logits[..targets.len() * block.len()];
                if !one {
                    product(1.0, false, h, e.t(), matrix_mut(logits, block.len()));
                }
                for ((row, target), sum) in
                    logits.chunks_exact_mut(block.len()).zip(targets).zip(&sums)
                {
                    let factor = if *target == SKIP { 0.0 } else { self.factor };
                    pulp::Arch::new().dispatch(Slopes {
                        row,
                        normaliser: normaliser(sum),
                        factor,
                    });
                    if block.contains(&(*target as usize)) {
                        row[*target as usize - block.start] -= factor;
                    }
                }
                let slopes = matrix(logits, block.len());
                product(1.0, block.start > 0, slopes, e, matrix_mut(dh, width));
                let de = &mut ditems[block.start * width..block.end * width];
                product(1.0, true, slopes.t(), h, matrix_mut(de, width));
            }
        }
        (total * f64::from(self.factor), ditems)
    }
}

fn matrix(data: &[f32], columns: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((data.len() / columns, columns), data)
        .expect("whole rows of a checked shape")
}

fn matrix_mut(data: &mut [f32], columns: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((data.len() / columns, columns), data)
        .expect("whole rows of a checked shape")
}

/// Running maximum and Σ exp(s - maximum) of each row.
struct Sums<'a> {
    logits: &'a [f32],
    columns: usize,
    sums: &'a mut [(f32, f32)],
}

impl pulp::WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        for (row, sum) in self.logits.chunks_exact(self.columns).zip(self.sums) {
            let (groups, rest) = row.as_chunks::<16>();
            let larger = |m: f32, s: f32| if s > m { s } else { m };
            let mut lanes = [sum.0; 16];
            for group in groups {
                for n in 0..16 {
                    lanes[n] = larger(lanes[n], group[n]);
                }
            }
            let max = lanes.iter().chain(rest).fold(sum.0, |m, s| larger(m, *s));
            let mut lanes = [0.0; 16];
            for group in groups {
                for n in 0..16 {
                    lanes[n] += exp_nonpositive(group[n] - max);
                }
            }
            let rest = rest
                .iter()
                .fold(0.0, |total, s| total + exp_nonpositive(s - max));
            let before = if sum.1 > 0.0 {
                sum.1 * exp_nonpositive(sum.0 - max)
            } else {
                0.0
            };
            *sum = (
                max,
                lanes.iter().fold(before + rest, |total, lane| total + lane),
            );
        }
    }
}

/// From logits to factor·P.
struct Slopes<'a> {
    row: &'a mut [f32],
    normaliser: f32,
    factor: f32,
}

impl pulp::WithSimd for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        for s in self.row {
            // No logit exceeds the normaliser, but for its rounding.
            *s = self.factor * exp_nonpositive((*s - self.normaliser).min(0.0));
        }
    }
}
