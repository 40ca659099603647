//! Ranking the targets of every case, in parallel over batches of users.

use std::sync::atomic::{AtomicU32, Ordering};

use ndarray::Array2;
use rayon::prelude::*;

use super::config::{Candidates, EvaluateConfig, Seen};
use super::error::EvaluateError;
use super::evaluation::Evaluation;
use super::protocol::Protocol;
use super::ranker::Ranker;
use super::ranking::{rank, rank_among, top_k};
use super::sampling::Negatives;
use crate::prepare::{Case, Cases, History};

/// Ranks what each user chose next.
///
/// Batches of users run side by side on `threads`; a batch is the same whatever their number, and so is every bit of the
/// outcome. An item that is a target twice counts once.
///
/// Cost beside the ranker's own: O(items) a target, and for coverage one pass over the scores a user. Memory: the scores
/// of one batch a thread.
///
/// # Errors
/// [`EvaluateError`] for a setting out of range, a part without users, a ranker of another catalogue, a ranker that fails
/// or gives NaN.
///
/// ```
/// use recommender::baseline::Popularity;
/// use recommender::{evaluate, EvaluateConfig, Holdout, Interactions, Metric, Part, Seen, Split, Targets};
///
/// let log = Interactions::from_histories(&[vec![0, 1, 2], vec![0, 2, 1], vec![1, 0, 2]], 3);
/// let split = Split::new(&log, Holdout::LeaveOneOut)?;
/// let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
/// let config = EvaluateConfig::full_ranking(Seen::Removed, &[1]);
/// let evaluation = evaluate(&Popularity::fit(&split), &split.cases(Part::Test, Targets::All), &config, &threads)?;
/// assert_eq!(evaluation.mean(Metric::HitRate(1)), 1.0); // one item is left for each
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate(
    ranker: &dyn Ranker,
    cases: &Cases<'_>,
    config: &EvaluateConfig,
    threads: &rayon::ThreadPool,
) -> Result<Evaluation, EvaluateError> {
    check(ranker, cases, config)?;
    let depth = config.cutoffs.iter().copied().max().unwrap_or(0);
    let judge = Judge {
        candidates: config.candidates,
        negatives: match config.candidates {
            Candidates::Catalogue { .. } => None,
            Candidates::Sampled {
                negatives,
                by,
                seed,
            } => Some(Negatives::new(cases.log, negatives, by, seed)),
        },
        best_place: (0..ranker.items())
            .map(|_| AtomicU32::new(u32::MAX))
            .collect(),
        depth,
    };
    let batches: Vec<Vec<Vec<u32>>> = threads.install(|| {
        cases
            .list
            .par_chunks(config.batch)
            .map(|batch| judge.batch(ranker, batch))
            .collect::<Result<_, _>>()
    })?;
    let mut evaluation = Evaluation {
        protocol: Protocol::of(cases, config.candidates),
        cutoffs: config.cutoffs.clone(),
        users: cases.list.iter().map(|case| case.user).collect(),
        lengths: cases
            .list
            .iter()
            .map(|case| case.history.len() as u32)
            .collect(),
        offsets: vec![0],
        ranks: Vec::with_capacity(cases.list.len()),
        coverage: judge.coverage(&config.cutoffs),
    };
    for ranks in batches.into_iter().flatten() {
        evaluation.ranks.extend(ranks);
        evaluation.offsets.push(evaluation.ranks.len());
    }
    Ok(evaluation)
}

fn check(
    ranker: &dyn Ranker,
    cases: &Cases<'_>,
    config: &EvaluateConfig,
) -> Result<(), EvaluateError> {
    let refuse = |name, found: String, expected| {
        Err(EvaluateError::Setting {
            name,
            found,
            expected,
        })
    };
    if config.batch == 0 {
        return refuse("batch", "0".to_string(), "at least 1");
    }
    if config.cutoffs.is_empty() || config.cutoffs.contains(&0) {
        return refuse(
            "cutoffs",
            format!("{:?}", config.cutoffs),
            "one K or more, each at least 1",
        );
    }
    if let Candidates::Sampled { negatives: 0, .. } = config.candidates {
        return refuse("negatives", "0".to_string(), "at least 1");
    }
    if cases.list.is_empty() {
        return Err(EvaluateError::NoCases {
            part: cases.part.to_string(),
            split: cases.holdout.to_string(),
        });
    }
    if ranker.items() != cases.log.items() {
        return Err(EvaluateError::Catalogue {
            ranker: ranker.items(),
            log: cases.log.items(),
        });
    }
    Ok(())
}

/// Turns scores into ranks, and notes how high each item was ever ranked.
struct Judge {
    candidates: Candidates,
    negatives: Option<Negatives>,
    /// From 1; the least over users is the same in any order.
    best_place: Vec<AtomicU32>,
    depth: usize,
}

impl Judge {
    /// Ranks of the targets of each case.
    fn batch(
        &self,
        ranker: &dyn Ranker,
        batch: &[Case<'_>],
    ) -> Result<Vec<Vec<u32>>, EvaluateError> {
        let histories: Vec<History<'_>> = batch.iter().map(|case| case.history).collect();
        // What the ranker leaves unwritten is found by its NaN.
        let mut scores = Array2::from_elem((batch.len(), ranker.items()), f32::NAN);
        ranker
            .score(&histories, scores.view_mut())
            .map_err(EvaluateError::Ranker)?;
        scores
            .rows_mut()
            .into_iter()
            .zip(batch)
            .map(|(mut row, case)| {
                // Fresh arrays are row-major: every row is a slice.
                let row = row.as_slice_mut().unwrap_or_default();
                self.case(row, case)
            })
            .collect()
    }

    fn case(&self, scores: &mut [f32], case: &Case<'_>) -> Result<Vec<u32>, EvaluateError> {
        // Summed without a break, so that the pass is vectorised.
        if scores
            .iter()
            .map(|score| u32::from(score.is_nan()))
            .sum::<u32>()
            > 0
        {
            return Err(EvaluateError::NotANumber {
                user: case.user,
                item: scores.iter().position(|score| score.is_nan()).unwrap_or(0),
            });
        }
        let mut targets = case.targets.to_vec();
        targets.sort_unstable();
        targets.dedup();
        if let Some(negatives) = &self.negatives {
            let negatives = negatives.draw(case);
            let rank = |&target: &u32| {
                let ahead =
                    rank_among(scores, target, &targets) + rank_among(scores, target, &negatives);
                ahead - 1
            };
            return Ok(targets.iter().map(rank).collect());
        }
        if self.candidates
            == (Candidates::Catalogue {
                seen: Seen::Removed,
            })
        {
            for &item in case.history.items {
                scores[item as usize] = f32::NAN;
            }
        }
        for (place, (item, _)) in (1..).zip(top_k(scores, self.depth)) {
            self.best_place[item as usize].fetch_min(place, Ordering::Relaxed);
        }
        Ok(targets.iter().map(|&target| rank(scores, target)).collect())
    }

    /// Share of items that were ever among the first K.
    fn coverage(&self, cutoffs: &[usize]) -> Vec<f64> {
        if self.negatives.is_some() {
            return Vec::new();
        }
        let items = self.best_place.len();
        let within = |&k: &usize| {
            let covered = self
                .best_place
                .iter()
                .filter(|place| place.load(Ordering::Relaxed) as usize <= k)
                .count();
            covered as f64 / items as f64
        };
        cutoffs.iter().map(within).collect()
    }
}
