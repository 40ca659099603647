//! What an experiment reads: the interaction log, with item embeddings learnt from it once a run, and tensors.

use crate::config::{Config, Histories};
use crate::tensors::{Qkv, TensorError};
use ndarray::Array2;
use recommender::{
    EmbeddingConfig, EmbeddingError, FormatError, Interactions, LogError, ShopConfig, ShopError,
    learn_item_embeddings, read_log, simulate_shop,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What can be wrong with what is read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A workload of histories without a log: a fault of the caller.
    #[error("the workload needs an interaction log and none was opened")]
    NoLog,
    /// A workload of tensors without any: a fault of the caller.
    #[error("the workload needs tensors and none were opened")]
    NoTensors,
    /// Tensors that cannot be had.
    #[error(transparent)]
    Tensors(#[from] TensorError),
    /// It cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its format is not known.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The simulated shop.
    #[error(transparent)]
    Shop(#[from] ShopError),
    /// Embeddings.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// Threads to learn them.
    #[error(transparent)]
    Threads(#[from] measure::Error),
}

/// A log with a label that says whether it is simulated, and its embeddings by dimension.
#[derive(Debug)]
pub struct Log {
    interactions: Interactions,
    label: String,
    embeddings: Mutex<BTreeMap<usize, Arc<Array2<f32>>>>,
}

/// Everything that the groups of a plan read, opened once.
#[derive(Debug, Default)]
pub struct Opened {
    /// The interaction log, where one is used.
    pub log: Option<Log>,
    /// Q, K and V of files, where they are used.
    pub tensors: Option<Qkv>,
}

impl Opened {
    /// Reads what the experiment uses.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn new(config: &Config) -> Result<Self, DataError> {
        let log = config.uses_log().then(|| Log::open(&config.histories));
        let tensors = config.tensors.as_ref().map(Qkv::open);
        Ok(Self {
            log: log.transpose()?,
            tensors: tensors.transpose()?,
        })
    }

    /// Checksums of all of it; empty where nothing was read.
    pub(crate) fn checksum(&self) -> String {
        let log = self.log.as_ref().map(|log| log.interactions().checksum());
        let tensors = self.tensors.as_ref().map(Qkv::checksum);
        let all: Vec<&str> = log.into_iter().chain(tensors).collect();
        all.join(" ")
    }
}

/// The embedded default: as the recommender's, with more and longer histories, so that lengths of
/// several thousand have users.
fn shop() -> ShopConfig {
    ShopConfig {
        users: 800,
        length_sigma: 1.4,
        max_length: 16_384,
        ..ShopConfig::default()
    }
}

impl Log {
    /// Reads the file, or simulates the shop.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn open(histories: &Histories) -> Result<Self, DataError> {
        match &histories.log {
            None => Ok(Self::of(
                simulate_shop(&shop())?.interactions,
                "simulated shop",
            )),
            Some(path) => {
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                Ok(Self::of(read_log(path, &histories.format.parse()?)?, &name))
            }
        }
    }

    pub(crate) fn of(interactions: Interactions, label: &str) -> Self {
        Self {
            interactions,
            label: label.into(),
            embeddings: Mutex::default(),
        }
    }

    /// The histories.
    #[must_use]
    pub fn interactions(&self) -> &Interactions {
        &self.interactions
    }

    /// `simulated shop`, or the file's name.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Item vectors `[items, at most D]`, learnt at the first call.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn embeddings(&self, dimension: usize) -> Result<Arc<Array2<f32>>, DataError> {
        let dimension = dimension.min(self.interactions.items());
        let mut learnt = self
            .embeddings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = learnt.get(&dimension) {
            return Ok(found.clone());
        }
        let pool = measure::pool(measure::machine::available_cpus())?;
        let config = EmbeddingConfig {
            dimension,
            ..EmbeddingConfig::default()
        };
        let vectors = Arc::new(learn_item_embeddings(&self.interactions, &config, &pool)?.vectors);
        learnt.insert(dimension, vectors.clone());
        Ok(vectors)
    }
}
