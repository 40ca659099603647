//! From a ranker to a row.

use super::config::EvaluationConfig;
use super::error::StudyError;
use super::outcome::{LengthRow, Made, Outcome, Ranked, STUDY_SCHEMA_VERSION};
use attention::Workers;
use attention_candle::Engine;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use recommender::evaluate::Bootstrap;
use recommender::model::Scorer;
use recommender::prepare::Cases;
use recommender::train::Trainer;
use recommender::{EvaluateConfig, Evaluation, Part, Ranker, Split, Targets, evaluate};

/// Ranks for validation and test, on its threads.
pub(super) struct Judge<'a> {
    config: &'a EvaluationConfig,
    experiment: &'a str,
    validation: Cases<'a>,
    test: Cases<'a>,
    pool: rayon::ThreadPool,
    /// Of one thread: batches of users run side by side.
    engine: Engine,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        config: &'a EvaluationConfig,
        experiment: &'a str,
        split: &Split<'a>,
        threads: usize,
    ) -> Result<Self, StudyError> {
        let mut validation = split.cases(Part::Validation, Targets::All);
        if (1..validation.list.len()).contains(&config.validation_users) {
            validation.list.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
            validation.list.truncate(config.validation_users);
            validation.list.sort_unstable_by_key(|case| case.user);
        }
        Ok(Self {
            config,
            experiment,
            validation,
            test: split.cases(Part::Test, Targets::All),
            pool: measure::pool(threads)?,
            engine: Engine::new(Workers::new(1)?),
        })
    }

    /// The users whose validation events are predicted.
    pub(super) fn validation(&self) -> &Cases<'a> {
        &self.validation
    }

    pub(super) fn pool(&self) -> &rayon::ThreadPool {
        &self.pool
    }

    /// The validation metric of a model in training.
    pub(super) fn validate(&self, trainer: &Trainer) -> Result<f64, StudyError> {
        let ranker = Scorer {
            engine: &self.engine,
            ..trainer.scorer()
        };
        let evaluation = self.rank(&ranker, &self.validation)?;
        Ok(evaluation.mean(self.config.metric))
    }

    /// The test row of a model in training, or trained.
    pub(super) fn model(&self, trainer: &Trainer, made: Made) -> Result<Ranked, StudyError> {
        let ranker = Scorer {
            engine: &self.engine,
            ..trainer.scorer()
        };
        self.ranked(&ranker, made)
    }

    /// The test row of any ranker.
    pub(super) fn ranked(&self, ranker: &dyn Ranker, made: Made) -> Result<Ranked, StudyError> {
        let evaluation = self.rank(ranker, &self.test)?;
        let bootstrap = Bootstrap::default();
        let ends: Vec<usize> = self.config.lengths.iter().map(|&n| n as usize).collect();
        let buckets = if ends.is_empty() {
            Vec::new()
        } else {
            evaluation.by_length(&ends)
        };
        let by_length = buckets.into_iter().map(|(lengths, part)| LengthRow {
            to: u32::try_from(*lengths.end()).ok(),
            users: part.users().len(),
            metrics: part.summary(bootstrap, &self.pool).metrics,
        });
        let outcome = Outcome {
            schema_version: STUDY_SCHEMA_VERSION,
            experiment: self.experiment.into(),
            made,
            by_length: by_length.collect(),
            test: evaluation.summary(bootstrap, &self.pool),
            against: None,
        };
        Ok(Ranked {
            outcome,
            evaluation,
        })
    }

    fn rank(&self, ranker: &dyn Ranker, cases: &Cases<'_>) -> Result<Evaluation, StudyError> {
        Ok(evaluate(
            ranker,
            cases,
            &self.evaluate_config(),
            &self.pool,
        )?)
    }

    fn evaluate_config(&self) -> EvaluateConfig {
        EvaluateConfig::full_ranking(self.config.seen, &self.config.cutoffs)
    }
}
