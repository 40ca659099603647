//! One training in its folder: begun, gone on with, or found finished.

use super::config::Training;
use super::data::StudyData;
use super::error::StudyError;
use super::folder::{
    BEGIN, CHECKPOINT, EPOCHS, MODEL, RESULT, RunInfo, TRAINING, make, read_json, read_lines,
    write_json, write_lines,
};
use super::health;
use super::judge::Judge;
use super::outcome::{EpochRow, Health, Made, Origin, Ranked};
use super::pace::Pace;
use super::progress::{StudyEvent, StudyProgress};
use crate::store::{Lock, StoreError};
use attention::Workers;
use attention_candle::Engine;
use recommender::model::SideFeatures;
use recommender::train::Trainer;
use recommender::{History, Part, Split};
use std::path::Path;

/// A training's place in a study.
pub(super) struct Place<'a> {
    pub(super) info: &'a RunInfo,
    pub(super) index: usize,
    pub(super) of: usize,
    pub(super) folder: &'a Path,
}

/// A trainer that has not begun.
pub(super) fn begin(
    training: &Training,
    data: &StudyData,
    threads: usize,
) -> Result<Trainer, StudyError> {
    let model = training.model.build(training.training.seed)?;
    let engine = Engine::new(Workers::new(threads)?);
    let label = training.label();
    let trainer = Trainer::new(model, data.log.items(), training.training.clone(), engine);
    let trainer = trainer.map_err(StudyError::train(&label))?;
    match &data.features {
        Some(known) if !training.training.features.is_empty() => trainer
            .with_features(SideFeatures::new(known, &training.training.features))
            .map_err(StudyError::train(&label)),
        _ => Ok(trainer),
    }
}

/// The result of a finished training.
pub(super) fn finished(info: &RunInfo, folder: &Path) -> Result<Option<Ranked>, StudyError> {
    let Some(known) = read_json::<RunInfo>(&folder.join(TRAINING))? else {
        return Ok(None);
    };
    if !known.is_same(info) {
        return Err(StudyError::NotATraining {
            path: folder.into(),
            reason: "it holds a training with other settings; take another --out, or --fresh"
                .into(),
        });
    }
    let done = known.training.training.epochs == info.training.training.epochs;
    let result = read_json::<Ranked>(&folder.join(RESULT))?;
    Ok(result.filter(|_| done))
}

/// Where a training has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trained {
    /// Its result is in its folder.
    Here,
    /// Another process is at it.
    Elsewhere,
}

/// Trains to the end, from the last checkpoint where there is one, and evaluates.
pub(super) fn train(
    place: &Place<'_>,
    (data, split): (&StudyData, &Split<'_>),
    judge: &Judge<'_>,
    threads: usize,
    progress: &mut dyn StudyProgress,
) -> Result<Trained, StudyError> {
    let (info, folder) = (place.info, place.folder);
    let label = info.training.label();
    make(folder)?;
    let _lock = match Lock::take(folder) {
        Err(StoreError::Locked { .. }) => {
            progress.event(&StudyEvent::Busy { label: &label });
            return Ok(Trained::Elsewhere);
        }
        lock => lock?,
    };
    if finished(info, folder)?.is_some() {
        return Ok(Trained::Here);
    }
    let mut trainer = begin(&info.training, data, threads)?;
    let fault = || StudyError::train(&label);
    let checkpoint = folder.join(CHECKPOINT);
    if Trainer::has_checkpoint(&checkpoint) {
        trainer.resume(&checkpoint).map_err(fault())?;
    }
    write_json(&folder.join(TRAINING), info)?;
    progress.event(&StudyEvent::Training {
        index: place.index,
        of: place.of,
        label: &label,
        seed: info.training.training.seed,
        parameters: trainer.parameters(),
        done: trainer.epochs(),
    });
    let begin = match read_json(&folder.join(BEGIN))? {
        Some(begin) => begin,
        None => {
            let begin = health::blocks(&trainer, split).map_err(fault())?;
            write_json(&folder.join(BEGIN), &begin)?;
            begin
        }
    };
    let rows = learn(&mut trainer, folder, split, judge, &label, progress)?;
    let best = trainer.take_best().map_err(fault())?;
    trainer.save_weights(&folder.join(MODEL)).map_err(fault())?;
    let made = Made {
        model: info.training.name.clone(),
        variant: variant_of(&info.training),
        origin: Origin::Trained,
        seed: info.training.training.seed,
        parameters: trainer.parameters(),
        epochs: trainer.epochs(),
        best_epoch: best.map(|(_, epoch)| epoch),
        training_seconds: rows.iter().map(|row| row.seconds).sum(),
        loss: rows.last().map(|row| row.loss),
        validation: best.map(|(metric, _)| metric),
        anew: Vec::new(),
        health: Some(Health {
            begin,
            end: health::blocks(&trainer, split).map_err(fault())?,
            entropy: health::entropy(&trainer, split)?,
        }),
    };
    let ranked = judge.model(&trainer, made)?;
    write_json(&folder.join(RESULT), &ranked)?;
    progress.event(&StudyEvent::Evaluated {
        outcome: &ranked.outcome,
    });
    Ok(Trained::Here)
}

/// What a training's attention is called in tables.
pub(super) fn variant_of(training: &Training) -> Option<String> {
    let own = || Some(training.model.attention()?.variant.clone());
    training.variant.clone().or_else(own)
}

/// Epochs to the end; every one is on disk before the next begins.
fn learn(
    trainer: &mut Trainer,
    folder: &Path,
    split: &Split<'_>,
    judge: &Judge<'_>,
    label: &str,
    progress: &mut dyn StudyProgress,
) -> Result<Vec<EpochRow>, StudyError> {
    let fault = || StudyError::train(label);
    let path = folder.join(EPOCHS);
    let mut rows: Vec<EpochRow> = read_lines(&path)?;
    rows.retain(|row| row.epoch <= trainer.epochs());
    let histories: Vec<History<'_>> = split.training().collect();
    let asked = judge.validation().list.iter().map(|case| {
        let user = case.user as usize;
        let known = split.history(user, Part::Train).items.len();
        let held_out = split.history(user, Part::Validation).items.len();
        let (log, end) = (split.log(), known + held_out);
        History {
            items: &log.history(user)[..end],
            times: log.times(user).map(|times| &times[..end]),
            ratings: log.ratings(user).map(|ratings| &ratings[..end]),
        }
    });
    let asked: Vec<History<'_>> = asked.collect();
    let pace = Pace::begin(trainer);
    while !trainer.is_done() {
        let (report, seconds) = pace.epoch(trainer, &histories, progress).map_err(fault())?;
        let val_loss = trainer.validation_loss(&asked).map_err(fault())?;
        let metric = if trainer.is_due() && !judge.validation().list.is_empty() {
            let metric = judge.validate(trainer)?;
            trainer.note(metric).map_err(fault())?;
            Some(metric)
        } else {
            None
        };
        rows.push(EpochRow {
            epoch: report.epoch,
            loss: report.loss,
            val_loss,
            metric,
            gradient_norm: report.gradient_norm,
            seconds,
        });
        write_lines(&path, &rows)?;
        trainer.save(&folder.join(CHECKPOINT)).map_err(fault())?;
        progress.event(&StudyEvent::Epoch {
            row: &rows[rows.len() - 1],
            of: trainer.config().epochs,
            best: trainer.best(),
            left: pace.left(trainer.epochs() as f64),
        });
    }
    Ok(rows)
}
