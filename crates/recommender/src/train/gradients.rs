//! The gradient of a step: one number for every number that is learned.

use crate::train::step::PartGradient;
use attention::Workers;
use attention_candle::floats;
use candle_core::Var;

/// Gradients of the item table and of a model's parameters, end to end.
pub(super) struct Gradients {
    values: Vec<f32>,
    /// Where each tensor begins, and the end of the last; the item table is the first.
    bounds: Vec<usize>,
    width: usize,
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
            bounds,
            width,
        }
    }

    pub(super) fn clear(&mut self) {
        self.values.fill(0.0);
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
            add(&rows, table);
        } else {
            for (row, gradient) in part.rows.iter().zip(rows.chunks_exact(self.width)) {
                add(
                    gradient,
                    &mut table[*row as usize * self.width..][..self.width],
                );
            }
        }
        for (gradient, bounds) in part.parameters.iter().zip(self.bounds[1..].windows(2)) {
            if let Some(gradient) = gradient {
                add(&floats(gradient)?, &mut self.values[bounds[0]..bounds[1]]);
            }
        }
        Ok(())
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

fn add(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}
