//! `manifest.json`: everything about a run but its rows.

use super::{MANIFEST, StoreError, atomic};
use crate::context::{Context, Rates};
use crate::identity::CodeIdentity;
use crate::plan::Plan;
use crate::record::SCHEMA_VERSION;
use measure::{Machine, Warning};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Config, data, machine and code of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] at the time of writing.
    pub schema_version: u32,
    /// The experiment's name.
    pub experiment: String,
    /// The question that it answers.
    pub question: String,
    /// Hash of config, data, code and machine.
    pub identity: String,
    /// The config file as it was given.
    pub config_given: String,
    /// Overrides as they were given.
    pub overrides: Vec<String>,
    /// The config with all defaults.
    pub config: serde_json::Value,
    /// Seed of everything.
    pub seed: u64,
    /// The interaction log, where one is used.
    pub data: Option<DataSource>,
    /// Q, K and V of files, where they are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors: Option<DataSource>,
    /// The code.
    pub code: CodeIdentity,
    /// The computer, as it was when the run began.
    pub machine: Machine,
    /// Hash of the computer's fingerprint.
    pub fingerprint: String,
    /// Calls of `run` that measured something, in order.
    pub sessions: Vec<Session>,
}

/// Something that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSource {
    /// `simulated shop`, or the file's name.
    pub label: String,
    /// BLAKE3 of its content.
    pub checksum: String,
    /// Sizes in a sentence.
    pub statistics: String,
}

/// One call of `run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Unix seconds.
    pub started: u64,
    /// How threads are placed.
    pub placement: String,
    /// Peaks measured at its start, by threads.
    pub rates: Vec<Rates>,
    /// Doubts about the machine at the start and over the session, and what to do.
    pub warnings: Vec<Warning>,
}

impl Manifest {
    pub(crate) fn new(plan: &Plan, context: &Context) -> Self {
        let config = &plan.config;
        let data = plan.opened.log.as_ref().map(|log| DataSource {
            label: log.label().into(),
            checksum: log.interactions().checksum().into(),
            statistics: log.interactions().statistics().to_string(),
        });
        let tensors = plan.opened.tensors.as_ref().map(|tensors| DataSource {
            label: tensors.label().into(),
            checksum: tensors.checksum().into(),
            statistics: tensors.shape().to_string(),
        });
        Self {
            schema_version: SCHEMA_VERSION,
            experiment: config.name.clone(),
            question: config.question.clone(),
            identity: plan.identity.clone(),
            config_given: config.given.clone(),
            overrides: config.overrides.clone(),
            config: serde_json::to_value(config).unwrap_or_default(),
            seed: config.seed,
            data,
            tensors,
            code: context.code.clone(),
            machine: context.machine.clone(),
            fingerprint: context.fingerprint.clone(),
            sessions: Vec::new(),
        }
    }

    /// That of a folder, if there is one.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(MANIFEST);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        let not_a_run = |error: serde_json::Error| StoreError::NotARun {
            path: folder.into(),
            reason: format!("its {MANIFEST} cannot be read ({error})"),
        };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(not_a_run)?;
        let version = value
            .get("schema_version")
            .and_then(serde_json::Value::as_u64)
            .unwrap_or(0);
        if version > u64::from(SCHEMA_VERSION) {
            return Err(StoreError::Newer {
                path,
                found: version,
                known: SCHEMA_VERSION,
            });
        }
        serde_json::from_value(value).map(Some).map_err(not_a_run)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(MANIFEST);
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|e| StoreError::io("write", &path, std::io::Error::other(e)))?;
        text.push(b'\n');
        atomic::replace(&path, &text)
    }
}
