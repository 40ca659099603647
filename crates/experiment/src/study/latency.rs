//! What a step of training costs, and an answer to a user, per attention.
//!
//! Models are timed as they begin: what they have learned does not change their arithmetic. All of a setting
//! take part in the same interleaved rounds.

use super::config::{LatencyConfig, Training};
use super::data::StudyData;
use super::error::StudyError;
use super::requests::requests;
use super::train::begin;
use measure::{Contestant, RoundPlan, Summary, run_rounds};
use recommender::train::Trainer;
use recommender::{History, Split};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::time::Duration;

/// What was timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LatencyKind {
    /// A step of training on a batch of the log's own histories, jagged.
    Step,
    /// The answer to one user on one thread: the history encoded, every item of the catalogue scored, the best
    /// ten taken.
    Request,
    /// The same for a user whose state is kept: the latest event taken in, every item scored, the best ten
    /// taken. The state is made beforehand, outside of the time.
    Event,
}

impl LatencyKind {
    /// What is timed of every training that can.
    pub(super) const ALL: [Self; 3] = [Self::Step, Self::Request, Self::Event];
}

/// A line of `latency.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyPoint {
    /// Key under `[models]`.
    pub model: String,
    /// Key under `[variants]`, or the registered name of the model's own attention.
    pub variant: Option<String>,
    /// What was timed.
    pub kind: LatencyKind,
    /// Events of the history that is answered, the latest one among them, or the mean of a step's batch.
    pub length: usize,
    /// Histories of a step; 1 of an answer.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Median of the rounds.
    pub median_ms: f64,
    /// 95 % interval of the median.
    pub interval_ms: (f64, f64),
    /// Slowest in ten and in a hundred.
    pub p90_ms: f64,
    /// See `p90_ms`.
    pub p99_ms: f64,
    /// Every round's time.
    pub samples_ns: Vec<u64>,
    /// Of [`LatencyKind::Event`]: bytes that are kept of the user, all layers together, where the history is
    /// absorbed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_bytes: Option<u64>,
    /// Of [`LatencyKind::Request`]: why there is no such point with the user's state kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
    /// Hash of all that was timed: points of other settings are timed anew.
    pub settings: String,
}

impl LatencyPoint {
    /// `softmax, linear-elu`: as its training's label.
    #[must_use]
    pub fn label(&self) -> String {
        super::outcome::label(&self.model, self.variant.as_deref())
    }
}

const MS: f64 = 1e6;

/// Times all trainings; `tell` hears what comes next.
pub(super) fn time(
    config: &LatencyConfig,
    trainings: &[Training],
    (data, split): (&StudyData, &Split<'_>),
    threads: usize,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<LatencyPoint>, StudyError> {
    let mut points = Vec::new();
    tell("a step of training");
    points.extend(steps(config, trainings, (data, split), threads)?);
    for &length in &config.lengths {
        tell(&format!(
            "a request after {length} events, and the next event"
        ));
        points.extend(requests(config, trainings, data, length)?);
    }
    Ok(points)
}

fn steps(
    config: &LatencyConfig,
    trainings: &[Training],
    (data, split): (&StudyData, &Split<'_>),
    threads: usize,
) -> Result<Vec<LatencyPoint>, StudyError> {
    let histories: Vec<History<'_>> = split
        .training()
        .filter(|history| history.len() > 1)
        .collect();
    let mut trainers = begin_all(trainings, data, threads)?;
    let faults = RefCell::new(None);
    let contestants = trainers
        .iter_mut()
        .zip(trainings)
        .map(|(trainer, training)| {
            // Evenly over all users, so that a batch has lengths as the log has.
            let batch = training.training.batch.min(histories.len()).max(1);
            let batch: Vec<History<'_>> = (0..batch)
                .map(|n| histories[n * histories.len() / batch])
                .collect();
            let faults = &faults;
            Contestant::new(training.label(), move || {
                if let Err(error) = trainer.step_on(&batch) {
                    faults.borrow_mut().get_or_insert((training.label(), error));
                }
            })
        });
    let rounds = timed(config, contestants.collect());
    if let Some((label, source)) = faults.into_inner() {
        return Err(StudyError::train(&label)(source));
    }
    Ok(rounds
        .into_iter()
        .zip(trainings)
        .filter_map(|(samples, training)| {
            let batch = training.training.batch.min(histories.len());
            let seen = |n: usize| histories[n * histories.len() / batch.max(1)].len();
            let longest = training.model.longest();
            let events: usize = (0..batch).map(|n| (seen(n) - 1).min(longest)).sum();
            let length = events / batch.max(1);
            point(
                samples,
                training,
                (LatencyKind::Step, length, batch, threads),
            )
        })
        .collect())
}

pub(super) fn begin_all(
    trainings: &[Training],
    data: &StudyData,
    threads: usize,
) -> Result<Vec<Trainer>, StudyError> {
    let all = trainings.iter();
    all.map(|training| begin(training, data, threads)).collect()
}

pub(super) fn timed(
    config: &LatencyConfig,
    mut contestants: Vec<Contestant<'_>>,
) -> Vec<measure::Samples> {
    let plan = RoundPlan {
        warmup: 1,
        min_rounds: 5,
        max_rounds: 1000,
        relative_interval: 0.02,
        budget: Duration::try_from_secs_f64(config.seconds).unwrap_or(Duration::MAX),
        seed: 1,
    };
    run_rounds(&mut contestants, &plan, &mut |_| {})
}

pub(super) fn point(
    samples: measure::Samples,
    training: &Training,
    (kind, length, batch, threads): (LatencyKind, usize, usize, usize),
) -> Option<LatencyPoint> {
    let summary = Summary::from_samples(&samples.as_f64(), 1)?;
    Some(LatencyPoint {
        model: training.name.clone(),
        variant: super::train::variant_of(training),
        kind,
        length,
        batch,
        threads,
        median_ms: summary.median / MS,
        interval_ms: (summary.interval.0 / MS, summary.interval.1 / MS),
        p90_ms: summary.p90 / MS,
        p99_ms: summary.p99 / MS,
        samples_ns: samples.nanoseconds,
        kept_bytes: None,
        not_kept: None,
        settings: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_studies_without_states_are_read_and_written_as_they_are() {
        let row = serde_json::json!({
            "model": "sasrec", "variant": "blocked", "kind": "request", "length": 50, "batch": 1,
            "threads": 1, "median_ms": 0.5, "interval_ms": [0.4, 0.6], "p90_ms": 0.7, "p99_ms": 0.9,
            "samples_ns": [500_000], "settings": "e3b0",
        });
        let point: LatencyPoint = serde_json::from_value(row.clone()).unwrap();
        assert_eq!((point.kept_bytes, &point.not_kept), (None, &None));
        assert_eq!(serde_json::to_value(&point).unwrap(), row);
    }
}
