//! Folders of a study and of its trainings, and the files in them.

use super::config::{EvaluationConfig, Training};
use super::data::DataConfig;
use super::outcome::STUDY_SCHEMA_VERSION;
use crate::identity::CodeIdentity;
use crate::store::{StoreError, replace};
use measure::Machine;
use recommender::Metric;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub(super) const STUDY: &str = "study.json";
pub(super) const TRAINING: &str = "training.json";
pub(super) const EPOCHS: &str = "epochs.jsonl";
pub(super) const BEGIN: &str = "gradients-at-the-beginning.json";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const MODEL: &str = "model.safetensors";
pub(super) const RESULT: &str = "result.json";
pub(super) const RECORDS: &str = "records.jsonl";
pub(super) const SUMMARY: &str = "summary.csv";
pub(super) const LATENCY: &str = "latency.jsonl";

/// `study.json`: everything about a study but its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyInfo {
    /// [`STUDY_SCHEMA_VERSION`] at the time of writing.
    pub schema_version: u32,
    /// The study's name.
    pub experiment: String,
    /// The question that it answers.
    pub question: String,
    /// Hash of config, log and code.
    pub identity: String,
    /// The config file as it was given.
    pub config_given: String,
    /// Overrides as they were given.
    pub overrides: Vec<String>,
    /// The config with all defaults.
    pub config: serde_json::Value,
    /// The log: its label, its checksum, and its sizes in a sentence.
    pub log: (String, String, String),
    /// The code that wrote this first.
    pub code: CodeIdentity,
    /// The computer, as it was then.
    pub machine: Machine,
    /// How threads were placed.
    pub placement: String,
}

impl StudyInfo {
    /// What models are compared by.
    #[must_use]
    pub fn metric(&self) -> Metric {
        let given = &self.config["evaluation"]["metric"];
        let parsed = given.as_str().and_then(|text| text.parse().ok());
        parsed.unwrap_or(Metric::Ndcg(10))
    }
}

/// `training.json`: what a training needs to be understood alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// [`STUDY_SCHEMA_VERSION`] at the time of writing.
    pub schema_version: u32,
    /// The study's name.
    pub experiment: String,
    /// The training.
    pub training: Training,
    /// Its log and split.
    pub data: DataConfig,
    /// The folder that a relative log is looked for in first.
    pub folder: Option<PathBuf>,
    /// BLAKE3 of the log.
    pub log_checksum: String,
    /// Items in the catalogue.
    pub items: usize,
    /// How it is judged.
    pub evaluation: EvaluationConfig,
}

impl RunInfo {
    /// Whether a training with these settings is the one that another describes. More epochs go on with
    /// fewer.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let of = |info: &Self| {
            let mut training = info.training.clone();
            training.training.epochs = 0;
            training
        };
        // The same log may be found under another path.
        let data = |info: &Self| DataConfig {
            log: None,
            ..info.data.clone()
        };
        self.log_checksum == other.log_checksum
            && data(self) == data(other)
            && self.evaluation == other.evaluation
            && of(self) == of(other)
    }
}

/// Something with a hash of the settings that it was made by.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    schema_version: u32,
    settings: String,
    what: T,
}

/// A hash of settings.
pub(super) fn hash_of<S: Serialize>(settings: &S) -> String {
    crate::hash::short([serde_json::to_string(settings).unwrap_or_default()])
}

/// What is kept in a file, where it was made by these settings.
pub(super) fn kept<T: DeserializeOwned>(
    path: &Path,
    settings: &str,
) -> Result<Option<T>, StoreError> {
    let kept = read_json::<Kept<T>>(path)?;
    let same = kept.filter(|kept| kept.settings == settings);
    Ok(same.map(|kept| kept.what))
}

/// Keeps something until its settings change.
pub(super) fn keep<T: Serialize>(path: &Path, settings: &str, what: &T) -> Result<(), StoreError> {
    let kept = Kept {
        schema_version: STUDY_SCHEMA_VERSION,
        settings: settings.into(),
        what,
    };
    write_json(path, &kept)
}

/// Writes a value as indented JSON, in one step.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let fault = |e| StoreError::io("write", path, std::io::Error::other(e));
    let mut text = serde_json::to_vec_pretty(value).map_err(fault)?;
    text.push(b'\n');
    replace(path, &text)
}

/// Writes values as lines of JSON, in one step.
pub(super) fn write_lines<T: Serialize>(path: &Path, values: &[T]) -> Result<(), StoreError> {
    let mut text = Vec::new();
    for value in values {
        let fault = |e| StoreError::io("write", path, std::io::Error::other(e));
        serde_json::to_writer(&mut text, value).map_err(fault)?;
        text.push(b'\n');
    }
    replace(path, &text)
}

/// A value from JSON; `None` where there is no file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let Some(text) = read(path)? else {
        return Ok(None);
    };
    let value: serde_json::Value = parse(path, &text)?;
    let version = value
        .get("schema_version")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or(0);
    if version > u64::from(STUDY_SCHEMA_VERSION) {
        return Err(StoreError::Newer {
            path: path.into(),
            found: version,
            known: STUDY_SCHEMA_VERSION,
        });
    }
    parse(path, &text).map(Some)
}

/// Values from lines of JSON; none where there is no file.
pub(super) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, StoreError> {
    let text = read(path)?.unwrap_or_default();
    text.lines().map(|line| parse(path, line)).collect()
}

fn read(path: &Path) -> Result<Option<String>, StoreError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path, error)),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::io("read", path, std::io::Error::other(error)))
}

/// Makes a folder with those above it.
pub(super) fn make(folder: &Path) -> Result<(), StoreError> {
    std::fs::create_dir_all(folder).map_err(|e| StoreError::io("create", folder, e))
}
