//! What a step of training and a request cost, per attention.
//!
//! Models are timed as they begin: what they have learned does not change their arithmetic. All of a setting
//! take part in the same interleaved rounds.

use super::config::{LatencyConfig, Training};
use super::data::StudyData;
use super::error::StudyError;
use super::train::begin;
use measure::{Contestant, RoundPlan, Summary, run_rounds};
use ndarray::Array2;
use recommender::evaluate::top_k;
use recommender::train::Trainer;
use recommender::{History, Split};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::hint::black_box;
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
    /// Events of the history of a request, or the mean of a step's batch.
    pub length: usize,
    /// Histories of a step; 1 for a request.
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
    /// Hash of all that was timed: points of other settings are timed anew.
    pub settings: String,
}

const MS: f64 = 1e6;

/// Of a request.
const ANSWERS: usize = 10;

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
        tell(&format!("a request of {length} events"));
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

fn requests(
    config: &LatencyConfig,
    trainings: &[Training],
    data: &StudyData,
    length: usize,
) -> Result<Vec<LatencyPoint>, StudyError> {
    // Models that look at as many events as are asked.
    let long: Vec<Training> = trainings
        .iter()
        .map(|training| Training {
            model: training.model.clone().with_longest(length),
            ..training.clone()
        })
        .collect();
    let trainers = begin_all(&long, data, 1)?;
    let log = &data.log;
    // Items as the log has them, over and over where no user has so many.
    let (_, items) = log.jagged();
    let history: Vec<u32> = items.iter().copied().cycle().take(length).collect();
    let history = &history;
    let faults = RefCell::new(None);
    let contestants = trainers.iter().zip(trainings).map(|(trainer, training)| {
        let faults = &faults;
        let mut scores = Array2::zeros((1, log.items()));
        Contestant::new(training.label(), move || {
            if let Err(error) = trainer.scorer().score(&[history], scores.view_mut()) {
                faults.borrow_mut().get_or_insert(error);
            }
            black_box(top_k(scores.as_slice().unwrap_or_default(), ANSWERS));
        })
    });
    let rounds = timed(config, contestants.collect());
    if let Some(error) = faults.into_inner() {
        return Err(error.into());
    }
    let kind = (LatencyKind::Request, length, 1, 1);
    let rows = rounds.into_iter().zip(trainings);
    Ok(rows
        .filter_map(|(samples, training)| point(samples, training, kind))
        .collect())
}

fn begin_all(
    trainings: &[Training],
    data: &StudyData,
    threads: usize,
) -> Result<Vec<Trainer>, StudyError> {
    let all = trainings.iter();
    all.map(|training| begin(training, data, threads)).collect()
}

fn timed(config: &LatencyConfig, mut contestants: Vec<Contestant<'_>>) -> Vec<measure::Samples> {
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

fn point(
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
        settings: String::new(),
    })
}
