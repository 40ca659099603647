//! From a batch to its gradient, part by part on all workers.

use super::batches::{Part, parts, seed_of};
use super::error::TrainError;
use super::gradients::Gradients;
use super::step::{PartGradient, Step};
use super::trainer::Trainer;
use crate::model::ModelError;
use crate::prepare::History;
use attention_candle::ordered;

/// The loss of a batch where it is.
pub(super) struct Slope {
    /// A position.
    pub(super) loss: f64,
    /// Positions that were learned from.
    pub(super) positions: usize,
}

impl Trainer {
    /// The histories that hold something to predict.
    pub(super) fn learnable<'h, H: Copy + Into<History<'h>>>(
        &self,
        histories: &[H],
    ) -> Result<Vec<History<'h>>, TrainError> {
        let mut known = self.known(histories)?;
        known.retain(|history| history.len() > 1);
        match known.is_empty() {
            true => Err(TrainError::NoTargets {
                histories: histories.len(),
            }),
            false => Ok(known),
        }
    }

    /// The gradient of a batch, with the negatives and the dropout of the next step.
    pub(super) fn slope(
        &self,
        batch: &[History<'_>],
        gradients: &mut Gradients,
    ) -> Result<Slope, TrainError> {
        let (parts, positions) = parts(batch, self.cut(self.config.padded));
        gradients.clear();
        let (mut loss, mut fault) = (0.0, None);
        let step = Step {
            model: &*self.model,
            items: &self.items,
            engine: &self.engine,
            loss: self.config.loss,
            factor: 1.0 / positions as f32,
        };
        let (seed, number) = (self.config.seed, self.adam.steps);
        let work =
            |(n, part): (usize, &Part<'_>)| step.learn(part, seed_of(&[seed, 1, number, n as u64]));
        ordered(
            self.engine.workers(),
            parts.iter().enumerate(),
            work,
            |part: Result<PartGradient, ModelError>| {
                let merged = part.and_then(|part| {
                    loss += part.loss;
                    Ok(gradients.add(&part)?)
                });
                if let Err(error) = merged {
                    fault.get_or_insert(error);
                }
            },
        );
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        if !loss.is_finite() {
            return Err(TrainError::Diverged { step: number, loss });
        }
        if let Some(features) = self.items.features() {
            gradients.share(features, self.engine.workers());
        }
        Ok(Slope { loss, positions })
    }
}
