//! The loss on events that are not learned from.

use super::batches::{parts, seed_of};
use super::error::TrainError;
use super::ratings::in_units;
use super::step::Step;
use super::trainer::Trainer;
use crate::prepare::History;

impl Trainer {
    /// The mean loss of predicting the last event of each history from those before it, without dropout; NaN
    /// where none has two events.
    ///
    /// # Errors
    /// What the model refuses.
    pub fn validation_loss<'h, H: Copy + Into<History<'h>>>(
        &self,
        histories: &[H],
    ) -> Result<f64, TrainError> {
        let mut known = self.known(histories)?;
        known.retain(|history| history.len() > 1);
        let units = self.units(&known)?;
        let known = in_units(&known, &units);
        let (parts, _) = parts(&known, self.cut(false));
        let step = Step {
            model: &*self.model,
            items: &self.items,
            engine: &self.engine,
            loss: self.config.loss,
            factor: 1.0 / known.len() as f32,
        };
        let parts = parts.iter().enumerate().collect();
        let losses = self.engine.workers().map(parts, |(n, part)| {
            // The same negatives at every look.
            step.predict(part, seed_of(&[self.config.seed, 2, n as u64]))
        });
        let losses = losses.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(if known.is_empty() {
            f64::NAN
        } else {
            losses.iter().sum()
        })
    }
}
