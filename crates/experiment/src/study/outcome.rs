//! What came of a training, a swap or a floor: one row each.

use recommender::evaluate::{Estimate, PairedTest, Summary};
use recommender::train::LayerHealth;
use recommender::{Evaluation, Metric};
use serde::{Deserialize, Serialize};

/// Of [`Outcome`]; grows when a field changes its meaning.
pub const STUDY_SCHEMA_VERSION: u32 = 1;

/// How a ranker came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Origin {
    /// Nothing learned but counts.
    Floor,
    /// Trained from the beginning.
    Trained,
    /// Trained with another attention, which was replaced.
    Swapped,
    /// So replaced, then trained on.
    FineTuned,
}

/// How a ranker was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Key under `[models]`, or the floor's name.
    pub model: String,
    /// Key under `[variants]`, or the registered name of the model's own attention.
    pub variant: Option<String>,
    /// How it came to be.
    pub origin: Origin,
    /// The training's seed.
    pub seed: u64,
    /// What was learned, counted.
    pub parameters: usize,
    /// Epochs trained.
    pub epochs: u64,
    /// That after which the model was best by the validation metric, which is the one that is kept.
    pub best_epoch: Option<u64>,
    /// Wall time of its epochs, without looks at the validation part.
    pub training_seconds: f64,
    /// The last epoch's mean loss.
    pub loss: Option<f64>,
    /// The validation metric of what was kept.
    pub validation: Option<f64>,
    /// Tensors that a swap could not take over, and that began anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anew: Vec<String>,
    /// Of trainings alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// How a training's layers fare: where gradients vanish, and how sharply each layer looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Gradients by block before the first step, of 32 histories.
    pub begin: Vec<LayerHealth>,
    /// The same of what was kept.
    pub end: Vec<LayerHealth>,
    /// Of each layer's attention, in what was kept: the mean of exp(H)/(i + 1) over rows, heads and histories, as if
    /// its scores went through a softmax. Empty where fewer than 8 users have the length.
    pub entropy: Vec<f64>,
}

/// A row of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`STUDY_SCHEMA_VERSION`] at the time of writing.
    pub schema_version: u32,
    /// The study's name.
    pub experiment: String,
    /// What was evaluated.
    #[serde(flatten)]
    pub made: Made,
    /// Test metrics with intervals over users, and the protocol they hold under.
    pub test: Summary,
    /// The same by history length: the bucket, its users, and its metrics.
    #[serde(default)]
    pub by_length: Vec<LengthRow>,
    /// Against the training of the same model and seed with the model's own attention.
    #[serde(default)]
    pub against: Option<Against>,
}

/// A bucket of history lengths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LengthRow {
    /// The longest history in it; the last bucket has no end.
    pub to: Option<u32>,
    /// Users.
    pub users: usize,
    /// Means with intervals.
    pub metrics: Vec<(Metric, Estimate)>,
}

/// A paired comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// The folder of the training it is compared with.
    pub name: String,
    /// This minus that.
    pub test: PairedTest,
}

/// A model's name, and that of the attention inside where one stands for it.
pub(super) fn label(model: &str, variant: Option<&str>) -> String {
    match variant {
        Some(variant) => format!("{model}, {variant}"),
        None => model.to_owned(),
    }
}

impl Made {
    /// `softmax, linear-elu`: as its training's label.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.model, self.variant.as_deref())
    }

    /// Counts, which learn nothing else.
    pub(super) fn floor(name: &str) -> Self {
        Self {
            model: name.into(),
            variant: None,
            origin: Origin::Floor,
            seed: 0,
            parameters: 0,
            epochs: 0,
            best_epoch: None,
            training_seconds: 0.0,
            loss: None,
            validation: None,
            anew: Vec::new(),
            health: None,
        }
    }
}

impl Outcome {
    /// A metric's mean and interval.
    #[must_use]
    pub fn estimate(&self, metric: Metric) -> Option<Estimate> {
        let found = self.test.metrics.iter().find(|(name, _)| *name == metric);
        found.map(|(_, estimate)| *estimate)
    }
}

/// An outcome and the ranks that it was computed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// The row.
    pub outcome: Outcome,
    /// The ranks.
    pub evaluation: Evaluation,
}

/// A line of `epochs.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Epochs done, this one among them.
    pub epoch: u64,
    /// Mean loss a position.
    pub loss: f64,
    /// Mean loss of predicting the validation events.
    pub val_loss: f64,
    /// The validation metric, where it was looked at.
    pub metric: Option<f64>,
    /// The steps' mean gradient norm before clipping, where they are clipped.
    pub gradient_norm: Option<f64>,
    /// Wall time of the epoch's steps.
    pub seconds: f64,
}
