//! Studies: models trained on one log, compared by full ranking, and by what they cost.
//!
//! A [`StudyConfig`] (TOML) declares a log, models and attentions; each pair and seed is a [`Training`] with a
//! folder of its own, in which it can be killed and resumed. [`run_study`] trains what is not there yet,
//! evaluates it, swaps attentions, times steps and answers, and writes one [`Outcome`] a row.
//!
//! * `config.rs`, `data.rs`, `select.rs`: what is asked; `folder.rs`: where answers lie
//! * `run.rs`: the order of things; `train.rs`, `judge.rs`, `swap.rs`, `latency.rs`, `requests.rs`: each of
//!   them
//! * `open.rs`: a finished training, to ask it something else

mod config;
mod data;
mod error;
mod folder;
mod health;
mod judge;
mod latency;
mod open;
mod outcome;
mod pace;
mod progress;
mod requests;
mod run;
mod select;
mod swap;
mod table;
mod train;

pub use config::{
    EvaluationConfig, LatencyConfig, ModelEntry, StudyConfig, SwapConfig, Training, VariantEntry,
};
pub use data::{DataConfig, HoldoutConfig, StudyData, StudyDataError};
pub use error::StudyError;
pub use folder::{RunInfo, StudyInfo};
pub use latency::{LatencyKind, LatencyPoint};
pub use open::TrainedRun;
pub use outcome::{
    Against, EpochRow, Health, LengthRow, Made, Origin, Outcome, Ranked, STUDY_SCHEMA_VERSION,
};
pub use progress::{StudyEvent, StudyProgress};
pub use run::{StudyOptions, StudyResults, read_study, run_study};
