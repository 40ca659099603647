//! What a study declares: a log, models, trainings, and what they are asked afterwards.

use super::data::DataConfig;
use super::outcome::label;
use crate::config::{ConfigError, Fault, Sources, overlay, parse};
use recommender::model::{AttentionConfig, ModelConfig};
use recommender::train::TrainConfig;
use recommender::{Metric, Seen};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A study: models trained on one log and compared by full ranking.
///
/// ```
/// use experiment::study::StudyConfig;
///
/// let text = r#"
/// name = "two-attentions"
/// [data]
/// simulated = { users = 100, items = 200, clusters = 10 }
/// [evaluation]
/// seen = "removed"
/// [models.softmax]
/// model = { sasrec = { width = 16, longest = 50 } }
/// training = { loss = { name = "softmax" }, epochs = 2 }
/// vary_attention = true
/// [variants.blocked]
/// [variants.linear-elu]
/// "#;
/// let config = StudyConfig::parse("two-attentions.toml", text, &[])?;
/// let labels: Vec<String> = config.trainings().iter().map(|training| training.label()).collect();
/// assert_eq!(labels, ["softmax, blocked", "softmax, linear-elu"]);
/// # Ok::<(), experiment::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// Names the folder of results.
    pub name: String,
    /// The question that it answers, as prose.
    #[serde(default)]
    pub question: String,
    /// The log.
    pub data: DataConfig,
    /// How models are judged.
    pub evaluation: EvaluationConfig,
    /// What all trainings have in common; a model's own `training` table goes over it.
    #[serde(default)]
    pub training: TrainConfig,
    /// What is trained, by name.
    pub models: BTreeMap<String, ModelEntry>,
    /// The attentions of models with `vary_attention`, by name.
    #[serde(default)]
    pub variants: BTreeMap<String, VariantEntry>,
    /// The swap test, where there is one.
    #[serde(default)]
    pub swap: Option<SwapConfig>,
    /// What is timed once all are trained, where anything is.
    #[serde(default)]
    pub latency: Option<LatencyConfig>,
    /// The file as it was given.
    #[serde(skip)]
    pub given: String,
    /// Overrides as they were given.
    #[serde(skip)]
    pub overrides: Vec<String>,
    /// The folder that a relative log is looked for in first.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// How models are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationConfig {
    /// What becomes of items in the history. There is no default: numbers of the two kinds differ twofold.
    pub seen: Seen,
    /// The K of HR@K, NDCG@K and coverage@K.
    #[serde(default = "cutoffs")]
    pub cutoffs: Vec<usize>,
    /// What early stopping and comparisons go by.
    #[serde(default = "metric")]
    pub metric: Metric,
    /// Ends of the buckets of history length that results are split by.
    #[serde(default)]
    pub lengths: Vec<u32>,
    /// Users asked during training, a fixed sample; all where it is 0. The test always asks all.
    #[serde(default)]
    pub validation_users: usize,
    /// Whether popularity and item neighbourhoods are evaluated beside the models.
    #[serde(default = "yes")]
    pub floors: bool,
}

/// A model to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// The model.
    pub model: ModelConfig,
    /// How it is trained.
    #[serde(default)]
    pub training: TrainConfig,
    /// One training each; `training.seed` alone where there are none.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// Trains it once with each of `[variants]` in the place of its own attention.
    #[serde(default)]
    pub vary_attention: bool,
}

/// An attention to put into models.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VariantEntry {
    /// The registered name, where the table's name is another.
    pub variant: Option<String>,
    /// Its parameters; the rest keep their defaults.
    #[serde(deserialize_with = "scalars")]
    pub parameters: BTreeMap<String, String>,
    /// In the place of the model's seeds.
    pub seeds: Option<Vec<u64>>,
}

/// The swap test: what a trained model loses when its attention is replaced, and wins back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapConfig {
    /// The model of `[models]` whose first training is taken, with its own attention.
    pub model: String,
    /// Epochs of training after the swap.
    #[serde(default = "one")]
    pub fine_tune: usize,
}

/// What is timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyConfig {
    /// Lengths of the history of a request.
    pub lengths: Vec<usize>,
    /// Seconds for all variants of one length together.
    #[serde(default = "seconds")]
    pub seconds: f64,
    /// Threads of a training step; a request takes one.
    #[serde(default)]
    pub threads: usize,
}

fn cutoffs() -> Vec<usize> {
    vec![1, 5, 10, 20]
}

fn metric() -> Metric {
    Metric::Ndcg(10)
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn seconds() -> f64 {
    10.0
}

/// Numbers, booleans and strings, all as text: the registry reads them.
fn scalars<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let given = BTreeMap::<String, toml::Value>::deserialize(from)?;
    let text = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(given.into_iter().map(|(k, v)| (k, text(v))).collect())
}

/// One training of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Its key under `[models]`.
    pub name: String,
    /// What stands for its attention in tables, where it is one of `[variants]`.
    pub variant: Option<String>,
    /// The model, with that attention in it.
    pub model: ModelConfig,
    /// How it is trained, the seed among it.
    pub training: TrainConfig,
}

impl Training {
    /// `softmax, linear-elu`: the same for all seeds.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.name, self.variant.as_deref())
    }

    /// `softmax-linear-elu-seed1`: its folder.
    #[must_use]
    pub fn folder(&self) -> String {
        let text = format!("{}-seed{}", self.label(), self.training.seed);
        let plain = text.chars().map(|c| match c {
            c if c.is_ascii_alphanumeric() || ".+_".contains(c) => c,
            _ => '-',
        });
        plain.collect::<String>().replace("--", "-")
    }
}

impl StudyConfig {
    /// Reads a config file with overrides `key=value`.
    ///
    /// # Errors
    /// [`ConfigError`] that points at what is wrong.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            ConfigError::unplaced(message, "name a TOML file of a study")
        })?;
        let mut config = Self::parse(&path.display().to_string(), &text, sets)?;
        config.folder = path.parent().map(Path::to_path_buf);
        Ok(config)
    }

    /// As [`load`](Self::load), from a text.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn parse(name: &str, text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        let sources = Sources::new(name, text, sets)?;
        let padded = sources.padded();
        let read = parse(&padded).and_then(|(mut table, span)| {
            inherit(&mut table);
            let value = Spanned::new(span, DeValue::Table(table));
            let config = Self::deserialize(ValueDeserializer::from(value)).map_err(fault)?;
            config.check()?;
            Ok(config)
        });
        let mut config = read.map_err(|fault| sources.locate(fault))?;
        config.given = text.into();
        config.overrides = sets.to_vec();
        Ok(config)
    }

    /// Every training, models by name, variants by name, then seeds.
    #[must_use]
    pub fn trainings(&self) -> Vec<Training> {
        let mut all = Vec::new();
        for (name, entry) in &self.models {
            let own = |model: ModelConfig, variant: Option<String>, seeds: &[u64]| {
                let each = seeds.iter().map(move |&seed| Training {
                    name: name.clone(),
                    variant: variant.clone(),
                    model: model.clone(),
                    training: TrainConfig {
                        seed,
                        ..entry.training.clone()
                    },
                });
                each.collect::<Vec<_>>()
            };
            let alone = [entry.training.seed];
            let seeds = if entry.seeds.is_empty() {
                &alone
            } else {
                &entry.seeds[..]
            };
            if !entry.vary_attention {
                all.extend(own(entry.model.clone(), None, seeds));
                continue;
            }
            for (label, variant) in &self.variants {
                let model = entry.model.clone().with_attention(variant.attention(label));
                let seeds = variant.seeds.as_deref().unwrap_or(seeds);
                all.extend(own(model, Some(label.clone()), seeds));
            }
        }
        all
    }

    /// The same study with another log's results apart: a hash of what results depend on.
    #[must_use]
    pub fn identity(&self, log_checksum: &str, code: &str) -> String {
        let config = serde_json::to_string(self).unwrap_or_default();
        crate::hash::short([&config, log_checksum, code])
    }

    fn check(&self) -> Result<(), Fault> {
        let refuse =
            |message: String, help: &str| Err(Fault::new(0..1, message, "in this file").help(help));
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if self.name.is_empty() || !self.name.chars().all(is_name) {
            return refuse(
                format!("`name` is \"{}\"", self.name),
                "letters, digits, - and _: it names a folder",
            );
        }
        if self.models.is_empty() {
            return refuse("no models".into(), "add a table [models.NAME]");
        }
        let varies = self.models.values().any(|entry| entry.vary_attention) || self.swap.is_some();
        if varies && self.variants.is_empty() {
            return refuse(
                "a study that varies the attention lists no variants".into(),
                "add tables [variants.NAME]; `attnbench list variants` knows the names",
            );
        }
        if let Some(swap) = &self.swap
            && !self.models.contains_key(&swap.model)
        {
            let names: Vec<&str> = self.models.keys().map(String::as_str).collect();
            let fault = Fault::new(
                0..1,
                format!("`swap.model`: no model `{}`", swap.model),
                "in this file",
            );
            return Err(fault.suggest(&swap.model, &names));
        }
        let described = self.data.items.is_some();
        for (name, entry) in &self.models {
            if !entry.training.features.is_empty() && !described {
                return refuse(
                    format!("`models.{name}.training.features`: nothing is known about items"),
                    "name a file with titles or categories: data.items",
                );
            }
        }
        for training in self.trainings() {
            // Built once to see that it can be: a study must not fail at its tenth training.
            if let Err(error) = training.model.build(0) {
                return refuse(
                    format!("`{}`: {error}", training.label()),
                    "`attnbench list variants` describes every variant and its parameters",
                );
            }
        }
        Ok(())
    }
}

impl VariantEntry {
    /// The attention that stands under this name.
    #[must_use]
    pub fn attention(&self, name: &str) -> AttentionConfig {
        AttentionConfig {
            variant: self.variant.clone().unwrap_or_else(|| name.to_owned()),
            parameters: self.parameters.clone(),
        }
    }
}

/// Lays every model's `training` over the common one.
fn inherit(table: &mut DeTable<'_>) {
    let Some(common) = table.get("training").cloned() else {
        return;
    };
    let models = table.get_mut("models").map(Spanned::get_mut);
    let Some(DeValue::Table(models)) = models else {
        return;
    };
    for (_, entry) in models.iter_mut() {
        let DeValue::Table(entry) = entry.get_mut() else {
            continue;
        };
        let own = entry.remove("training");
        let mut merged = common.clone();
        if let (DeValue::Table(base), Some(DeValue::Table(over))) =
            (merged.get_mut(), own.map(Spanned::into_inner))
        {
            overlay(base, over);
        }
        entry.insert(Spanned::new(merged.span(), "training".into()), merged);
    }
}

fn fault(error: toml::de::Error) -> Fault {
    Fault::new(error.span().unwrap_or(0..1), error.message(), "here")
}
