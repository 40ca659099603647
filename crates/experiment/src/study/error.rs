//! Why a study did not go on.

use super::data::StudyDataError;
use crate::store::StoreError;
use recommender::evaluate::EvaluateError;
use recommender::model::ModelError;
use recommender::train::TrainError;
use std::path::PathBuf;

/// What stopped a study. What it finished before is kept, and the next call continues.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// The log.
    #[error(transparent)]
    Data(#[from] StudyDataError),
    /// Files of results.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A model that cannot be made or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A training.
    #[error("{label}: {source}")]
    Train {
        /// Which.
        label: String,
        /// Why.
        source: Box<TrainError>,
    },
    /// An evaluation.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Threads.
    #[error(transparent)]
    Threads(#[from] measure::Error),
    /// Workers.
    #[error(transparent)]
    Workers(#[from] attention::Error),
    /// A folder that is no training's.
    #[error("{}: {reason}", path.display())]
    NotATraining {
        /// The folder.
        path: PathBuf,
        /// What is missing, and what to do.
        reason: String,
    },
}

impl StudyError {
    pub(super) fn train(label: &str) -> impl FnOnce(TrainError) -> Self + use<> {
        let label = label.to_owned();
        move |source| Self::Train {
            label,
            source: Box::new(source),
        }
    }
}
