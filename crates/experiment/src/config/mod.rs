//! An experiment as a TOML file: a question, axes, variants.
//!
//! Read by hand from a parsed table rather than through derived deserialisation: every value keeps
//! its place, so that any fault, of type, range or combination, points at the text that caused it.
//! [`KEYS`] documents the format.

mod axes;
mod error;
mod keys;
mod mask;
mod padding;
mod read;
mod section;
mod sources;
mod sweep;
mod tensors;
mod variants;

pub use error::ConfigError;
pub(crate) use error::Fault;
pub use keys::{KEYS, Key};
pub use mask::MaskSpec;
pub use padding::Padding;
pub(crate) use sources::{Sources, overlay, parse};
pub use sweep::{Choice, Setting, Sweep};
pub use tensors::Tensors;

use crate::pass::Pass;
use crate::workload::{Needs, find};
use serde::{Serialize, Serializer};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// An experiment, complete: every default is filled in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// Names the folder of the results.
    pub name: String,
    /// The question that the experiment answers.
    pub question: String,
    /// Decides inputs, sampled rows and the order of rounds.
    pub seed: u64,
    /// Label of the variant that speed-ups are over.
    pub baseline: Option<String>,
    /// Labels of the variants that are rungs of a ladder, from the first to the last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<String>,
    /// What Q, K and V are made of.
    pub inputs: Inputs,
    /// The interaction log.
    pub histories: Histories,
    /// Files of Q, K and V, where a workload reads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensors: Option<Tensors>,
    /// The axes.
    pub problem: Axes,
    /// The variants, in the registry's order.
    pub variants: Vec<Sweep>,
    /// How accuracy is measured.
    pub accuracy: Accuracy,
    /// How time is measured.
    pub time: Time,
    /// The file as it was given.
    #[serde(skip)]
    pub given: String,
    /// The overrides as they were given.
    #[serde(skip)]
    pub overrides: Vec<String>,
}

/// What Q, K and V are made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inputs {
    /// Workloads by name.
    pub workload: Vec<&'static str>,
    /// Targets of η; empty for the natural scale.
    pub entropy: Vec<f64>,
}

impl Inputs {
    /// Whether any of the workloads reads such a thing.
    pub(crate) fn need(&self, what: Needs) -> bool {
        let mut all = self.workload.iter().filter_map(|name| find(name));
        all.any(|workload| workload.needs == what)
    }
}

/// The interaction log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histories {
    /// A file; `None` for the simulated shop.
    #[serde(serialize_with = "file_name")]
    pub log: Option<PathBuf>,
    /// How the file is laid out, as [`recommender::LogFormat`] parses it.
    pub format: String,
}

/// The axes; groups are their cross product, the first varying slowest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Axes {
    /// N, the keys of the longest history.
    pub length: Vec<usize>,
    /// Nq; empty for N.
    pub queries: Vec<usize>,
    /// D; empty for that of the tensors.
    pub head_dimension: Vec<usize>,
    /// Dv; empty for D, or that of the tensors.
    pub value_dimension: Vec<usize>,
    /// B; empty for that of the tensors.
    pub batch: Vec<usize>,
    /// H; empty for that of the tensors.
    pub heads: Vec<usize>,
    /// Hkv; empty for H, or those that H heads of the tensors read.
    pub key_heads: Vec<usize>,
    /// Problem masks.
    #[serde(serialize_with = "texts")]
    pub mask: Vec<MaskSpec>,
    /// How history lengths vary.
    #[serde(serialize_with = "texts")]
    pub padding: Vec<Padding>,
    /// Whether histories lie end to end.
    #[serde(serialize_with = "texts")]
    pub layout: Vec<Layout>,
    /// What a call computes.
    #[serde(skip_serializing_if = "is_forward")]
    pub pass: Vec<Pass>,
    /// Worker threads.
    pub threads: Vec<usize>,
}

/// How histories lie in the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One a batch entry, each N long.
    Padded,
    /// End to end, with offsets.
    Jagged,
}

impl Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Padded => "padded",
            Self::Jagged => "jagged",
        })
    }
}

/// How accuracy is measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Query rows that the f64 oracle answers.
    pub rows: usize,
}

/// How time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Time {
    /// Untimed calls of each variant.
    pub warmup: usize,
    /// Rounds at least.
    pub min_rounds: usize,
    /// Rounds at most.
    pub max_rounds: usize,
    /// Half-width of the median's 95 % interval to stop at, relative to the median.
    pub relative_interval: f64,
    /// Budget for the rounds of one group, in seconds.
    pub seconds_per_group: f64,
    /// A cell whose single call takes longer, in seconds, is a timeout.
    pub seconds_per_call: f64,
}

impl Config {
    /// Reads a file and lays `sets` (`key=value`, dotted keys) over it.
    ///
    /// # Errors
    /// [`ConfigError`] that points at the fault.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::unplaced(
                format!("cannot read the config {}: {error}", path.display()),
                "give the path of a TOML file; the embedded experiments go by name",
            )
        })?;
        read::read(&path.display().to_string(), &text, sets, path.parent())
    }

    /// Parses a text; `name` stands for it in errors.
    ///
    /// ```
    /// let text = "name = 'x'\n[problem]\nlenght = 64\n[variants]\n";
    /// let error = experiment::Config::parse("x.toml", text, &[]).unwrap_err();
    /// assert_eq!(error.to_string(), "unknown key `lenght` in [problem]");
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] that points at the fault.
    pub fn parse(name: &str, text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        read::read(name, text, sets, None)
    }

    /// Every variant at every point of its sweep, in the registry's order.
    #[must_use]
    pub fn choices(&self) -> Vec<Choice> {
        let of = |sweep: &Sweep| attention_variants::find(sweep.name).map(|v| sweep.choices(v));
        self.variants
            .iter()
            .filter_map(|sweep| of(sweep).ok())
            .flatten()
            .collect()
    }

    /// Whether any group reads the interaction log.
    #[must_use]
    pub fn uses_log(&self) -> bool {
        self.inputs.need(Needs::Log) || self.problem.padding.contains(&Padding::Log)
    }
}

/// Experiments of forward alone are described as they were before there was a choice.
fn is_forward(pass: &[Pass]) -> bool {
    pass == [Pass::Forward]
}

fn texts<T: Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(T::to_string))
}

/// The file's name alone: where it lies is no part of the experiment, its checksum is.
fn file_name<S: Serializer>(log: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match log.as_ref().and_then(|path| path.file_name()) {
        Some(name) => serializer.collect_str(&name.to_string_lossy()),
        None => serializer.serialize_str("simulated"),
    }
}
