//! The loop of a training.

use super::adam::{Adam, Rate};
use super::batches::{Cut, order};
use super::config::TrainConfig;
use super::error::TrainError;
use super::gradients::Gradients;
use super::items::ItemTable;
use super::progress::Progress;
use super::ratings::{RatingScale, in_units};
use super::slope::Slope;
use crate::model::{Parameters, Scorer, SequenceModel};
use crate::prepare::History;
use attention_candle::Engine;
use candle_core::Var;

/// A model in training.
///
/// ```
/// use attention::Workers;
/// use attention_candle::Engine;
/// use recommender::model::{SasRec, SasRecConfig};
/// use recommender::train::{TrainConfig, Trainer};
///
/// let histories: Vec<Vec<u32>> = (0..40).map(|user| (0..8).map(|t| (user + t) % 20).collect()).collect();
/// let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
/// let model = SasRec::new(&SasRecConfig { width: 16, longest: 8, ..SasRecConfig::default() }, 1)?;
/// let config = TrainConfig { batch: 8, ..TrainConfig::default() };
/// let mut trainer = Trainer::new(Box::new(model), 20, config, Engine::new(Workers::new(2)?))?;
/// let first = trainer.epoch(&histories)?;
/// let fifth = (0..4).map(|_| trainer.epoch(&histories)).last().transpose()?;
/// assert!(fifth.is_some_and(|report| report.loss < first.loss));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trainer {
    pub(super) config: TrainConfig,
    pub(super) model: Box<dyn SequenceModel>,
    pub(super) engine: Engine,
    /// The item vectors, then the model's parameters, then the vectors of features.
    pub(super) learned: Vec<Var>,
    pub(super) items: ItemTable,
    pub(super) names: Vec<String>,
    pub(super) adam: Adam,
    pub(super) gradients: Gradients,
    pub(super) progress: Progress,
    /// What was learned when the metric was best.
    pub(super) best: Option<Vec<Vec<f32>>>,
}

/// What an epoch came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochReport {
    /// Epochs done, this one among them.
    pub epoch: u64,
    /// Mean loss a position, of each step's parameters.
    pub loss: f64,
    /// Steps done.
    pub steps: u64,
    /// Positions that were learned from.
    pub positions: u64,
    /// The mean norm of the steps' gradients before clipping, where they are clipped.
    pub gradient_norm: Option<f64>,
}

impl Trainer {
    /// A training that has not begun, in a catalogue of so many items.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for settings that cannot be.
    pub fn new(
        model: Box<dyn SequenceModel>,
        catalogue: usize,
        config: TrainConfig,
        engine: Engine,
    ) -> Result<Self, TrainError> {
        config.check()?;
        if model.candidate_model().is_some() && config.loss.is_full() {
            return Err(TrainError::Setting {
                setting: "loss",
                value: "softmax".into(),
                expected: "a loss with sampled negatives, or of ratings: the model scores each item anew",
            });
        }
        let items = Parameters::new(config.seed).table("items", catalogue, model.width())?;
        let (mut names, mut learned) = (vec!["items".to_owned()], vec![items]);
        for (name, var) in model.parameters().iter() {
            names.push(name.to_owned());
            learned.push(var.clone());
        }
        Ok(Self {
            adam: Adam::new(&learned),
            gradients: Gradients::new(&learned, model.width()),
            progress: Progress::default(),
            best: None,
            items: ItemTable::new(learned[0].clone()),
            config,
            model,
            engine,
            learned,
            names,
        })
    }

    /// The model and its item vectors, as they are now.
    #[must_use]
    pub fn scorer(&self) -> Scorer<'_> {
        Scorer {
            model: &*self.model,
            items: self.items.vectors(),
            engine: &self.engine,
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Epochs done.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        self.progress.epochs
    }

    /// Learns from every history once, in an order of the epoch's own.
    ///
    /// Histories are slices of item numbers, or [`History`] where the loss is of ratings.
    ///
    /// # Errors
    /// [`TrainError::NoTargets`] where nothing can be learned, [`TrainError::NoRatings`] where ratings are to be
    /// learned and there are none, [`TrainError::Diverged`] for a loss that is no number, and what the model
    /// refuses.
    pub fn epoch<'h, H: Copy + Into<History<'h>>>(
        &mut self,
        histories: &[H],
    ) -> Result<EpochReport, TrainError> {
        self.epoch_told(histories, &mut |_, _| {})
    }

    /// As [`epoch`](Self::epoch); `tell` hears between steps how many are done, and of how many.
    ///
    /// # Errors
    /// As for [`epoch`](Self::epoch).
    pub fn epoch_told<'h, H: Copy + Into<History<'h>>>(
        &mut self,
        histories: &[H],
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<EpochReport, TrainError> {
        self.items.expect(&self.config.features)?;
        let histories = self.known(histories)?;
        if self.config.loss.is_of_ratings() {
            self.progress.ratings = Some(RatingScale::of(&histories)?);
        }
        let units = self.units(&histories)?;
        let histories = in_units(&histories, &units);
        let users = order(&histories, self.config.seed, self.progress.epochs);
        if users.is_empty() {
            return Err(TrainError::NoTargets {
                histories: histories.len(),
            });
        }
        let (mut loss, mut positions, mut norms) = (0.0, 0, 0.0);
        let before = self.adam.steps;
        let batches = users.chunks(self.config.batch);
        let all = batches.len() as u64;
        for (number, users) in (1..).zip(batches) {
            let batch: Vec<History<'_>> = users.iter().map(|&user| histories[user]).collect();
            let done = self.step(&batch)?;
            loss += done.loss * done.positions as f64;
            positions += done.positions as u64;
            norms += done.norm.unwrap_or(0.0);
            tell(number, all);
        }
        self.items.refresh(self.engine.workers())?;
        self.progress.epochs += 1;
        let steps = self.adam.steps - before;
        Ok(EpochReport {
            epoch: self.progress.epochs,
            loss: loss / positions as f64,
            steps: self.adam.steps,
            positions,
            gradient_norm: self.config.clip.map(|_| norms / steps as f64),
        })
    }

    /// One step on a batch of histories; gives its mean loss a position.
    ///
    /// # Errors
    /// As for [`epoch`](Self::epoch).
    pub fn step_on<'h, H: Copy + Into<History<'h>>>(
        &mut self,
        batch: &[H],
    ) -> Result<f64, TrainError> {
        let batch = self.learnable(batch)?;
        let units = self.units(&batch)?;
        let batch = in_units(&batch, &units);
        let done = self.step(&batch)?;
        self.items.refresh(self.engine.workers())?;
        Ok(done.loss)
    }

    fn step(&mut self, batch: &[History<'_>]) -> Result<Done, TrainError> {
        if self.config.loss.is_full() {
            self.items.refresh(self.engine.workers())?;
        }
        let mut gradients = std::mem::take(&mut self.gradients);
        let slope = self.slope(batch, &mut gradients);
        self.gradients = gradients;
        let Slope { loss, positions } = slope?;
        let number = self.adam.steps;
        let norm = self
            .config
            .clip
            .map(|_| self.gradients.norm(self.engine.workers()));
        let clipped = self
            .config
            .clip
            .zip(norm)
            .map_or(1.0, |(most, norm)| (most / norm.max(most)).min(1.0));
        let warm = (number + 1) as f64 / self.config.warm_up.max(1) as f64;
        let rate = Rate {
            size: self.config.learning_rate * warm.min(1.0),
            betas: self.config.betas,
            weight_decay: self.config.weight_decay,
            gradients: clipped,
        };
        self.adam
            .step(&self.learned, &self.gradients, &rate, self.engine.workers())?;
        Ok(Done {
            loss,
            positions,
            norm,
        })
    }

    /// The histories, if all their items are in the catalogue.
    pub(super) fn known<'h, H: Copy + Into<History<'h>>>(
        &self,
        histories: &[H],
    ) -> Result<Vec<History<'h>>, TrainError> {
        let histories: Vec<History<'h>> = histories.iter().map(|&history| history.into()).collect();
        let catalogue = self.items.count();
        let most = histories.iter().flat_map(|history| history.items).max();
        match most {
            Some(&item) if item as usize >= catalogue => Err(TrainError::Item { item, catalogue }),
            _ => Ok(histories),
        }
    }

    pub(super) fn cut(&self, padded: bool) -> Cut {
        let chooses = self.model.candidate_model().is_some();
        Cut {
            longest: self.model.longest(),
            padded,
            targets: chooses.then_some(self.config.targets),
        }
    }
}

/// What a step came to.
struct Done {
    loss: f64,
    positions: usize,
    norm: Option<f64>,
}
