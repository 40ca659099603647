//! What a study tells while it goes.

use super::outcome::{EpochRow, Outcome};
use std::path::Path;
use std::time::Duration;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum StudyEvent<'a> {
    /// The log is read and the folder is open.
    Started {
        /// Where results go.
        dir: &'a Path,
        /// The log in a sentence.
        log: &'a str,
        /// Trainings of the study.
        trainings: usize,
        /// Those that earlier calls finished.
        finished: usize,
    },
    /// A training begins or goes on.
    Training {
        /// Its place, from 0.
        index: usize,
        /// Trainings of the study.
        of: usize,
        /// Which.
        label: &'a str,
        /// Its seed.
        seed: u64,
        /// What it learns, counted.
        parameters: usize,
        /// Epochs that an earlier call did.
        done: u64,
    },
    /// A step is done. They may be many a second: who shows them does so seldom, and soon returns.
    Step {
        /// The epoch that it is of, from 1.
        epoch: u64,
        /// The most epochs.
        epochs: u64,
        /// Steps done of the epoch.
        step: u64,
        /// Steps of the epoch.
        steps: u64,
        /// Estimate of the time left in this training.
        left: Duration,
    },
    /// An epoch is over.
    Epoch {
        /// What it came to.
        row: &'a EpochRow,
        /// The most epochs.
        of: usize,
        /// The best value of the metric, and after how many epochs it was.
        best: Option<(f64, u64)>,
        /// Estimate of the time left in this training.
        left: Duration,
    },
    /// Another process trains this one.
    Busy {
        /// Which.
        label: &'a str,
    },
    /// A model goes on with another attention in it.
    FineTuning {
        /// The model, and what was swapped in.
        label: &'a str,
    },
    /// A row is there.
    Evaluated {
        /// The row.
        outcome: &'a Outcome,
    },
    /// Steps and requests are being timed.
    Timing {
        /// What.
        what: &'a str,
    },
    /// All is on disk.
    Finished {
        /// Where results are.
        dir: &'a Path,
    },
}

/// Someone who is told; `()` is not interested.
pub trait StudyProgress {
    /// Called for every event, in order.
    fn event(&mut self, event: &StudyEvent<'_>);
}

impl StudyProgress for () {
    fn event(&mut self, _: &StudyEvent<'_>) {}
}

impl<F: FnMut(&StudyEvent<'_>)> StudyProgress for F {
    fn event(&mut self, event: &StudyEvent<'_>) {
        self(event);
    }
}
