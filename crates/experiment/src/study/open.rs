//! A finished training, to ask it something else.

use super::data::StudyData;
use super::error::StudyError;
use super::folder::{CHECKPOINT, MODEL, RunInfo, TRAINING, read_json};
use super::judge::Judge;
use super::outcome::{Made, Origin, Ranked};
use super::train::{begin, variant_of};
use recommender::model::AttentionConfig;
use recommender::train::Trainer;
use std::path::{Path, PathBuf};

/// A training's folder, open: its settings, its log, its model.
pub struct TrainedRun {
    /// Its settings.
    pub info: RunInfo,
    /// Its log.
    pub data: StudyData,
    /// The model.
    pub trainer: Trainer,
    dir: PathBuf,
    threads: usize,
}

impl TrainedRun {
    /// Opens a folder that a study has made; a training that is not finished is taken as far as it is.
    ///
    /// # Errors
    /// [`StudyError::NotATraining`] where it is none or was killed before its first checkpoint, and
    /// [`StudyError::Data`] where its log is not there or has changed.
    pub fn open(dir: &Path, threads: usize) -> Result<Self, StudyError> {
        let refuse = |reason: String| StudyError::NotATraining {
            path: dir.into(),
            reason,
        };
        let info = read_json::<RunInfo>(&dir.join(TRAINING))?.ok_or_else(|| {
            refuse(format!(
                "no {TRAINING} in it; give a folder below trainings/ of a study"
            ))
        })?;
        let cache = Path::new("runs").join(".cache");
        let data = info.data.open(info.folder.as_deref(), Some(&cache))?;
        if data.log.checksum() != info.log_checksum {
            return Err(refuse(
                "its log has changed since it was trained; train anew".into(),
            ));
        }
        let mut trainer = begin(&info.training, &data, threads)?;
        let label = info.training.label();
        let (model, checkpoint) = (dir.join(MODEL), dir.join(CHECKPOINT));
        if model.is_file() {
            trainer
                .load_weights(&model)
                .map_err(StudyError::train(&label))?;
        } else if Trainer::has_checkpoint(&checkpoint) {
            trainer
                .resume(&checkpoint)
                .and_then(|()| trainer.take_best())
                .map_err(StudyError::train(&label))?;
        } else {
            return Err(refuse(
                "nothing was trained yet; `attnbench train` goes on with it".into(),
            ));
        }
        Ok(Self {
            info,
            data,
            trainer,
            dir: dir.into(),
            threads,
        })
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ranks the test part, with another attention in the place of its own where one is given.
    ///
    /// # Errors
    /// What model, attention or evaluation refuse.
    pub fn evaluate(&self, attention: Option<&AttentionConfig>) -> Result<Ranked, StudyError> {
        let split = self.data.split()?;
        let experiment = &self.info.experiment;
        let judge = Judge::new(&self.info.evaluation, experiment, &split, self.threads)?;
        let made = |variant: Option<String>, origin, anew| Made {
            model: self.info.training.name.clone(),
            variant,
            origin,
            seed: self.info.training.training.seed,
            parameters: self.trainer.parameters(),
            epochs: self.trainer.epochs(),
            best_epoch: None,
            training_seconds: 0.0,
            loss: None,
            validation: None,
            anew,
            health: None,
        };
        let Some(attention) = attention else {
            let variant = variant_of(&self.info.training);
            return judge.model(&self.trainer, made(variant, Origin::Trained, Vec::new()));
        };
        let mut training = self.info.training.clone();
        training.model = training.model.with_attention(attention.clone());
        let mut swapped = begin(&training, &self.data, self.threads)?;
        let label = training.label();
        let anew = swapped
            .adopt(&self.trainer)
            .map_err(StudyError::train(&label))?;
        let anew = anew.into_iter().map(str::to_owned).collect();
        let variant = Some(attention.variant.clone());
        judge.model(&swapped, made(variant, Origin::Swapped, anew))
    }
}
