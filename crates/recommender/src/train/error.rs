//! Why training did not go on.

use crate::model::ModelError;
use std::path::PathBuf;

/// What is wrong with a training's settings, its model or its checkpoints.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The model's refusal.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A setting that cannot be.
    #[error("{setting} = {value}: expected {expected}")]
    Setting {
        /// Its key in configs.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// No history has two events, so that there is nothing to predict.
    #[error("none of the {histories} histories has two events: there is no next item to learn")]
    NoTargets {
        /// How many there are.
        histories: usize,
    },
    /// A history without the ratings that the loss is of.
    #[error(
        "history {history} has no rating for every event, and the loss is of ratings: take another loss, or a log with ratings"
    )]
    NoRatings {
        /// Its number.
        history: usize,
    },
    /// An item number beyond the catalogue.
    #[error("item {item} in a catalogue of {catalogue}: items are numbered from 0")]
    Item {
        /// The number.
        item: u32,
        /// Items in the catalogue.
        catalogue: usize,
    },
    /// A loss or a gradient that is no number.
    #[error("the loss of step {step} is {loss}: lower learning_rate, or set clip")]
    Diverged {
        /// The step, counted from 0.
        step: u64,
        /// Its loss.
        loss: f64,
    },
    /// A checkpoint that cannot be written or read.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}
