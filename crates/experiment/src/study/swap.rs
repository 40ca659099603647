//! The swap test: train with one attention, replace it, evaluate; train on for a little, evaluate again.
//!
//! The first difference is what an approximation costs a model that did not know of it, the second what is left
//! once the model has had a chance to get used to it.

use super::config::{SwapConfig, Training, VariantEntry};
use super::data::StudyData;
use super::error::StudyError;
use super::folder::MODEL;
use super::judge::Judge;
use super::outcome::{self, Made, Origin, Ranked};
use super::pace::Pace;
use super::progress::{StudyEvent, StudyProgress};
use super::train::begin;
use recommender::train::Trainer;
use recommender::{History, Split};
use std::path::Path;

/// What a swap starts from: a finished training and its folder.
pub(super) struct Base<'a> {
    pub(super) training: &'a Training,
    pub(super) folder: &'a Path,
}

/// The rows of one variant in the place of the base's attention.
pub(super) fn swap(
    base: &Base<'_>,
    (name, variant): (&str, &VariantEntry),
    config: &SwapConfig,
    (data, split): (&StudyData, &Split<'_>),
    judge: &Judge<'_>,
    threads: usize,
    progress: &mut dyn StudyProgress,
) -> Result<Vec<Ranked>, StudyError> {
    let mut theirs = begin(base.training, data, threads)?;
    let label = format!("{} with {name}", base.training.label());
    let fault = || StudyError::train(&label);
    theirs
        .load_weights(&base.folder.join(MODEL))
        .map_err(fault())?;
    let mut training = base.training.clone();
    training.model = training.model.with_attention(variant.attention(name));
    training.training.epochs = config.fine_tune;
    training.training.stop = None;
    let mut trainer = begin(&training, data, threads)?;
    let anew = trainer.adopt(&theirs).map_err(fault())?;
    let anew: Vec<String> = anew.into_iter().map(str::to_owned).collect();
    let made = |trainer: &Trainer, origin, seconds, loss| Made {
        model: base.training.name.clone(),
        variant: Some(name.to_owned()),
        origin,
        seed: base.training.training.seed,
        parameters: trainer.parameters(),
        epochs: trainer.epochs(),
        best_epoch: None,
        training_seconds: seconds,
        loss,
        validation: None,
        anew: anew.clone(),
        health: None,
    };
    let mut rows = vec![judge.model(&trainer, made(&trainer, Origin::Swapped, 0.0, None))?];
    if config.fine_tune > 0 {
        let histories: Vec<History<'_>> = split.training().collect();
        progress.event(&StudyEvent::FineTuning {
            label: &outcome::label(&base.training.name, Some(name)),
        });
        let (mut loss, mut seconds) = (None, 0.0);
        let pace = Pace::begin(&trainer);
        for _ in 0..config.fine_tune {
            let epoch = pace.epoch(&mut trainer, &histories, progress);
            let (report, took) = epoch.map_err(fault())?;
            loss = Some(report.loss);
            seconds += took;
        }
        let made = made(&trainer, Origin::FineTuned, seconds, loss);
        rows.push(judge.model(&trainer, made)?);
    }
    Ok(rows)
}
