//! How far a training is, and when it is time to stop.

use super::error::TrainError;
use super::ratings::RatingScale;
use super::trainer::Trainer;
use attention_candle::floats;

/// How far a training is: all of its state that is not a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// Epochs done.
    pub(super) epochs: u64,
    /// The best value of the metric, and after how many epochs it was.
    pub(super) best: Option<(f64, u64)>,
    /// Looks at the metric since.
    pub(super) waited: usize,
    /// The unit of the ratings learned from.
    #[serde(default)]
    pub(super) ratings: Option<RatingScale>,
}

impl Trainer {
    /// Whether the metric is worth a look after the epochs done.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let every = self.config.stop.map_or(1, |stop| stop.every) as u64;
        self.progress.epochs.is_multiple_of(every)
            || self.progress.epochs >= self.config.epochs as u64
    }

    /// Notes a value of the metric, and keeps what has been learned if it is the best so far.
    ///
    /// # Errors
    /// candle's.
    pub fn note(&mut self, metric: f64) -> Result<(), TrainError> {
        if self.progress.best.is_none_or(|(best, _)| metric > best) {
            self.progress.best = Some((metric, self.progress.epochs));
            self.progress.waited = 0;
            let copies = self.learned.iter().map(|var| Ok(floats(var)?.to_vec()));
            self.best = Some(copies.collect::<candle_core::Result<_>>()?);
        } else {
            self.progress.waited += 1;
        }
        Ok(())
    }

    /// Whether it is time to stop: all epochs done, or no better metric for too long.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let tired = |stop: crate::train::StopConfig| self.progress.waited >= stop.patience.max(1);
        self.progress.epochs >= self.config.epochs as u64 || self.config.stop.is_some_and(tired)
    }

    /// The best value of the metric so far, and after how many epochs it was.
    #[must_use]
    pub fn best(&self) -> Option<(f64, u64)> {
        self.progress.best
    }

    /// Goes back to what was best, where a metric was noted; gives its value and after how many epochs it was.
    ///
    /// # Errors
    /// candle's.
    pub fn take_best(&mut self) -> Result<Option<(f64, u64)>, TrainError> {
        if let Some(best) = self.best.take() {
            self.set_learned(&best)?;
            self.best = Some(best);
        }
        Ok(self.progress.best)
    }
}
