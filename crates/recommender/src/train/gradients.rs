//! The gradient of a step: one number for every number that is learned.

use super::items::add;
use crate::model::SideFeatures;
use crate::train::step::PartGradient;
use attention::{Scratch, Workers};
use attention_candle::floats;
use candle_core::Var;

/// Gradients of the item table and of a model's parameters, end to end.
#[derive(Default)]
pub(super) struct Gradients {
    values: Vec<f32>,
    /// Where each tensor begins, and the end of the last; the item table is the first.
    bounds: Vec<usize>,
    width: usize,
    /// Items with a gradient.
    touched: Vec<bool>,
}

/// Numbers whose squares one worker sums.
const BLOCK: usize = 1 << 14;

impl Gradients {
    pub(super) fn new(learned: &[Var], width: usize) -> Self {
        let mut bounds = vec![0];
        for var in learned {
            bounds.push(bounds[bounds.len() - 1] + var.elem_count());
        }
        Self {
            values: vec![0.0; bounds[learned.len()]],
            touched: vec![false; bounds[1] / width.max(1)],
            bounds,
            width,
        }
    }

    pub(super) fn clear(&mut self) {
        self.values.fill(0.0);
        self.touched.fill(false);
    }

    /// The gradient of one tensor.
    pub(super) fn of(&self, tensor: usize) -> &[f32] {
        &self.values[self.bounds[tensor]..self.bounds[tensor + 1]]
    }

    /// Adds those of a part.
    pub(super) fn add(&mut self, part: &PartGradient) -> candle_core::Result<()> {
        let table = &mut self.values[..self.bounds[1]];
        let rows = floats(&part.items)?;
        if part.rows.is_empty() {
            add(1.0, &rows, table);
            self.touched.fill(true);
        } else {
            for (row, gradient) in part.rows.iter().zip(rows.chunks_exact(self.width)) {
                add(
                    1.0,
                    gradient,
                    &mut table[*row as usize * self.width..][..self.width],
                );
                self.touched[*row as usize] = true;
            }
        }
        for (gradient, bounds) in part.parameters.iter().zip(self.bounds[1..].windows(2)) {
            if let Some(gradient) = gradient {
                add(
                    1.0,
                    &floats(gradient)?,
                    &mut self.values[bounds[0]..bounds[1]],
                );
            }
        }
        Ok(())
    }

    /// Takes the gradients of item vectors on to the last tensor, the features that they are made of.
    ///
    /// Each worker takes features, and adds up their items in order: the same bits on any number of workers.
    pub(super) fn share(&mut self, features: &SideFeatures, workers: &Workers) {
        let (width, last) = (self.width, self.bounds[self.bounds.len() - 2]);
        let (items, shared) = self.values.split_at_mut(last);
        let rows = (0u32..).zip(shared.chunks_exact_mut(width.max(1)));
        workers.run(rows, &mut Scratch::new(), 0, |(feature, row), _| {
            for &item in features.items_with(feature) {
                if self.touched[item as usize] {
                    let gradient = &items[item as usize * width..][..width];
                    add(1.0 / features.of(item).len() as f32, gradient, row);
                }
            }
        });
    }

    /// The Euclidean norm of it all.
    pub(super) fn norm(&self, workers: &Workers) -> f64 {
        let squares = workers.map(self.values.chunks(BLOCK).collect(), |block: &[f32]| {
            let mut lanes = [0.0f64; 8];
            for group in block.chunks(8) {
                for (lane, x) in lanes.iter_mut().zip(group) {
                    *lane += f64::from(*x) * f64::from(*x);
                }
            }
            lanes.iter().sum::<f64>()
        });
        squares.iter().sum::<f64>().sqrt()
    }
}
