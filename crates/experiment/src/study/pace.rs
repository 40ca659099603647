//! How fast a training goes, told after every step.

use super::progress::{StudyEvent, StudyProgress};
use recommender::History;
use recommender::train::{EpochReport, TrainError, Trainer};
use std::time::{Duration, Instant};

/// The epochs of one call, and the time that they take.
pub(super) struct Pace {
    began: Instant,
    /// Epochs that earlier calls did.
    before: u64,
    epochs: u64,
}

impl Pace {
    /// From now to the trainer's last epoch.
    pub(super) fn begin(trainer: &Trainer) -> Self {
        Self {
            began: Instant::now(),
            before: trainer.epochs(),
            epochs: trainer.config().epochs as u64,
        }
    }

    /// An epoch, its steps told; and the seconds that they took, without the telling.
    pub(super) fn epoch(
        &self,
        trainer: &mut Trainer,
        histories: &[History<'_>],
        progress: &mut dyn StudyProgress,
    ) -> Result<(EpochReport, f64), TrainError> {
        let (done, began) = (trainer.epochs(), Instant::now());
        let mut telling = Duration::ZERO;
        let report = trainer.epoch_told(histories, &mut |step, steps| {
            let asked = Instant::now();
            progress.event(&StudyEvent::Step {
                epoch: done + 1,
                epochs: self.epochs,
                step,
                steps,
                left: self.left(done as f64 + step as f64 / steps as f64),
            });
            telling += asked.elapsed();
        })?;
        let seconds = began.elapsed().saturating_sub(telling).as_secs_f64();
        Ok((report, seconds))
    }

    /// An estimate of the time left after so many epochs, as if the rest took as long as those of this call.
    pub(super) fn left(&self, done: f64) -> Duration {
        let here = done - self.before as f64;
        let left = (self.epochs as f64 - done).max(0.0);
        let seconds = self.began.elapsed().as_secs_f64() / here * left;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}
