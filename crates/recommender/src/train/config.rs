//! The settings of a training.

use crate::loss::Loss;
use crate::model::FeatureKind;
use crate::train::TrainError;

/// How a model is trained; the defaults are those of SASRec's authors (four targets a history are our own choice).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Of everything random: how parameters begin, the order of users, negatives, dropout.
    pub seed: u64,
    /// The most epochs.
    pub epochs: usize,
    /// What items have vectors for beside their own, in means that are added to those: nothing, as in the models'
    /// papers, or the kinds of [`SideFeatures`](crate::model::SideFeatures) that the training is given.
    pub features: Vec<FeatureKind>,
    /// Histories a step.
    pub batch: usize,
    /// The loss.
    pub loss: Loss,
    /// Positions of each history that an epoch learns from, drawn anew each time, where the model scores
    /// candidates: each needs an attention of its own. Models with states learn from all positions.
    pub targets: usize,
    /// Adam's step size, after the warm-up.
    pub learning_rate: f64,
    /// Steps over which the step size grows to its own, in a line.
    pub warm_up: u64,
    /// Decay rates of Adam's two moments.
    pub betas: (f64, f64),
    /// Share of each parameter that a step of size one takes away (Loshchilov & Hutter 2019); 0 is plain Adam.
    pub weight_decay: f64,
    /// The largest norm of a step's gradient; longer ones are scaled to it. Nothing is clipped without it.
    pub clip: Option<f64>,
    /// Pads every history to the longest of its batch, instead of skipping the padding: what it costs.
    pub padded: bool,
    /// When to stop before the last epoch.
    pub stop: Option<StopConfig>,
}

/// Early stopping on a metric that grows as the model gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopConfig {
    /// Epochs between two looks at the metric.
    pub every: usize,
    /// Looks without a better value after which training ends.
    pub patience: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 200,
            features: Vec::new(),
            batch: 128,
            loss: Loss::default(),
            targets: 4,
            learning_rate: 1e-3,
            warm_up: 0,
            betas: (0.9, 0.98),
            weight_decay: 0.0,
            clip: None,
            padded: false,
            stop: None,
        }
    }
}

impl TrainConfig {
    pub(super) fn check(&self) -> Result<(), TrainError> {
        let refuse = |setting, value: String, expected| {
            Err(TrainError::Setting {
                setting,
                value,
                expected,
            })
        };
        if self.batch == 0 {
            return refuse("batch", "0".into(), "at least 1");
        }
        if self.targets == 0 {
            return refuse("targets", "0".into(), "at least 1");
        }
        if self.loss.is_sampled() && self.loss.negatives() == 0 {
            return refuse("loss.negatives", "0".into(), "at least 1");
        }
        let (first, second) = self.betas;
        if !(0.0..1.0).contains(&first) || !(0.0..1.0).contains(&second) {
            return refuse(
                "betas",
                format!("{first}, {second}"),
                "two numbers from 0 to below 1",
            );
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return refuse(
                "learning_rate",
                self.learning_rate.to_string(),
                "a number above 0",
            );
        }
        if self.clip.is_some_and(|clip| clip.is_nan() || clip <= 0.0) {
            return refuse(
                "clip",
                format!("{:?}", self.clip),
                "a norm above 0, or none",
            );
        }
        if self.stop.is_some_and(|stop| stop.every == 0) {
            return refuse("stop.every", "0".into(), "at least 1");
        }
        Ok(())
    }
}
