use super::plan::{Contestant, Phase, RoundPlan, RoundProgress, Samples, Stop};
use crate::clock;
use crate::stats::Summary;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

/// Below this many samples no interval of order statistics covers the median at 95 %: 1 - 2·2⁻ⁿ < 0.95.
const FEWEST_FOR_AN_INTERVAL: usize = 6;

/// Share of the budget that warming up may take, all contestants together, beyond one call each.
const WARMUP_SHARE: f64 = 0.2;

/// Times every contestant once per round, in an order shuffled anew for each round from the seed.
///
/// Stops when every contestant's 95 % interval of the median is within the target, when the budget is
/// spent, or at the maximum; [`Samples::stop`] says which, for each contestant. Calls below some 50 µs
/// are batched. Looking at the intervals repeatedly and stopping at the first success makes them a
/// little narrower than their name; they are looked at only whenever the rounds have grown by a tenth.
///
/// `progress` is called between timed sections, never within. The result has one entry per contestant, in
/// their order, and the same number of samples in each. See the [crate's example](crate).
pub fn run_rounds(
    contestants: &mut [Contestant<'_>],
    plan: &RoundPlan,
    progress: &mut dyn FnMut(RoundProgress),
) -> Vec<Samples> {
    let start = Instant::now();
    let max_rounds = plan.max_rounds.max(1);
    let min_rounds = plan.min_rounds.clamp(1, max_rounds);
    let mut samples = warm_up(contestants, plan, start, progress);
    if samples.is_empty() {
        return samples;
    }

    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut order: Vec<usize> = (0..contestants.len()).collect();
    let mut widths = vec![f64::INFINITY; contestants.len()];
    let mut next_look = min_rounds.max(FEWEST_FOR_AN_INTERVAL);
    let mut reason = Stop::MaxRounds;
    for done in 1..=max_rounds {
        order.shuffle(&mut rng);
        for &index in &order {
            let calls = samples[index].calls_per_sample;
            let ns = contestants[index].turn.sample(calls);
            samples[index].nanoseconds.push(ns);
        }
        let spent = start.elapsed() >= plan.budget;
        let last = done == max_rounds;
        let starved =
            spent && done < min_rounds && one_alone_exceeds(&samples, min_rounds, plan.budget);
        if done >= FEWEST_FOR_AN_INTERVAL && (done >= next_look || last || spent) {
            look(&samples, plan.seed, &mut widths);
            next_look = done + done.div_ceil(10);
        }
        progress(RoundProgress {
            phase: Phase::Rounds { done },
            elapsed: start.elapsed(),
            fraction: fraction(done, max_rounds, start, plan.budget),
            widest_interval: widest(&widths),
        });
        let enough = done >= min_rounds;
        if enough && widths.iter().all(|&width| converged(width, plan)) {
            break;
        }
        if starved {
            reason = Stop::BudgetBeforeMinimum;
            break;
        }
        if spent && enough && !last {
            reason = Stop::Budget;
            break;
        }
    }
    for (samples, &width) in samples.iter_mut().zip(&widths) {
        samples.stop = if converged(width, plan) {
            Stop::Converged
        } else {
            reason
        };
    }
    samples
}

fn warm_up(
    contestants: &mut [Contestant<'_>],
    plan: &RoundPlan,
    start: Instant,
    progress: &mut dyn FnMut(RoundProgress),
) -> Vec<Samples> {
    let share = plan
        .budget
        .mul_f64(WARMUP_SHARE / contestants.len().max(1) as f64);
    let mut all = Vec::with_capacity(contestants.len());
    for (index, contestant) in contestants.iter_mut().enumerate() {
        let own_start = Instant::now();
        let mut warmup_ns = Vec::new();
        while warmup_ns.len() < plan.warmup && (warmup_ns.is_empty() || own_start.elapsed() < share)
        {
            warmup_ns.push(contestant.turn.sample(1));
        }
        let calls_per_sample = warmup_ns
            .iter()
            .min()
            .map_or(1, |&fastest| contestant.turn.calls_per_sample(fastest));
        all.push(Samples {
            name: contestant.name.clone(),
            nanoseconds: Vec::new(),
            calls_per_sample,
            stop: Stop::MaxRounds,
            warmup_ns,
        });
        progress(RoundProgress {
            phase: Phase::WarmUp { contestant: index },
            elapsed: start.elapsed(),
            fraction: fraction(0, 1, start, plan.budget),
            widest_interval: None,
        });
    }
    all
}

/// Whether the minimum of rounds of one contestant takes longer than the whole budget.
fn one_alone_exceeds(samples: &[Samples], min_rounds: usize, budget: Duration) -> bool {
    let budget = clock::nanoseconds(budget);
    samples.iter().any(|samples| {
        let fastest = samples.nanoseconds.iter().min().copied().unwrap_or(0);
        let sample = fastest.saturating_mul(u64::from(samples.calls_per_sample));
        sample.saturating_mul(min_rounds as u64) > budget
    })
}

/// A target of 0 means never, even where a coarse clock makes all samples equal.
fn converged(width: f64, plan: &RoundPlan) -> bool {
    plan.relative_interval > 0.0 && width <= plan.relative_interval
}

fn look(samples: &[Samples], seed: u64, widths: &mut [f64]) {
    for (width, samples) in widths.iter_mut().zip(samples) {
        *width = Summary::from_samples(&samples.as_f64(), seed)
            .map_or(f64::INFINITY, |summary| summary.relative_half_width());
    }
}

fn widest(widths: &[f64]) -> Option<f64> {
    widths
        .iter()
        .copied()
        .max_by(f64::total_cmp)
        .filter(|width| width.is_finite())
}

fn fraction(done: usize, max_rounds: usize, start: Instant, budget: Duration) -> f64 {
    let of_rounds = done as f64 / max_rounds as f64;
    let of_time = start.elapsed().as_secs_f64() / budget.as_secs_f64().max(f64::MIN_POSITIVE);
    of_rounds.max(of_time).min(1.0)
}

#[cfg(test)]
mod tests;
