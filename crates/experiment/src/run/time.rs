//! Interleaved rounds of the variants that passed.

use super::gate::{finite, guarded};
use super::progress::{Event, Progress};
use super::rows;
use crate::context::Context;
use crate::plan::{Group, Plan};
use crate::record::{LatencyRow, Record, SpeedupRow, Status};
use attention::{Attention, Output, Problem, Scratch, Workers};
use measure::{
    Contestant, Phase, RoundPlan, Samples, Stop, Summary, ratio_within_rounds, run_rounds,
};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

/// What the contestants share: one output and one scratch, so that none has its own in the caches.
pub(super) struct Arena<'a> {
    pub(super) problem: &'a Problem<'a>,
    pub(super) workers: &'a Workers,
    pub(super) output: Output,
}

/// Times the variants that passed and completes their rows.
pub(super) fn rounds(
    plan: &Plan,
    context: &Context,
    group: &Group,
    arena: Arena<'_>,
    passed: &[(usize, Box<dyn Attention>)],
    records: &mut [Record],
    progress: &mut dyn Progress,
) {
    let (problem, workers) = (arena.problem, arena.workers);
    let round_plan = round_plan(plan, group);
    let faults: Vec<RefCell<Option<String>>> = passed.iter().map(|_| RefCell::new(None)).collect();
    let output = RefCell::new(arena.output);
    let scratch = RefCell::new(Scratch::new());
    let most = passed
        .iter()
        .map(|(_, v)| v.scratch_bytes(problem.geometry(), workers.threads()))
        .max();
    scratch.borrow_mut().reserve(most.unwrap_or(0));
    let mut contestants: Vec<Contestant<'_>> = passed
        .iter()
        .zip(&faults)
        .map(|((index, variant), fault)| {
            let (output, scratch) = (&output, &scratch);
            Contestant::new(group.cells[*index].label.clone(), move || {
                if fault.borrow().is_some() {
                    return;
                }
                let called = guarded(|| {
                    let (mut output, mut scratch) = (output.borrow_mut(), scratch.borrow_mut());
                    variant.forward(problem, output.view_mut(), workers, &mut scratch)
                });
                if let Err(reason) = called {
                    *fault.borrow_mut() = Some(reason);
                }
                black_box(output);
            })
        })
        .collect();
    let samples = run_rounds(&mut contestants, &round_plan, &mut |report| {
        if let Phase::Rounds { done } = report.phase {
            progress.event(&Event::Rounds {
                done,
                fraction: report.fraction,
            });
        }
    });
    drop(contestants);
    let faults: Vec<Option<String>> = faults.into_iter().map(RefCell::into_inner).collect();
    let baseline = plan.config.baseline.as_deref();
    let over = samples
        .iter()
        .zip(&faults)
        .find(|(s, fault)| fault.is_none() && Some(s.name.as_str()) == baseline);
    let over = over.map(|(s, _)| s);
    for (((index, _), fault), own) in passed.iter().zip(faults).zip(&samples) {
        let record = &mut records[*index];
        match fault {
            Some(reason) => rows::end(
                record,
                Status::Failed,
                format!("while it was timed: {reason}"),
            ),
            None => {
                let threads = group.spec.threads;
                record.latency = latency(own, over, record, context, threads, round_plan.seed);
                record.warnings = measure::warnings::sample_warnings(own, &round_plan);
            }
        }
    }
}

fn round_plan(plan: &Plan, group: &Group) -> RoundPlan {
    let time = &plan.config.time;
    RoundPlan {
        warmup: time.warmup,
        min_rounds: time.min_rounds,
        max_rounds: time.max_rounds,
        relative_interval: time.relative_interval,
        budget: Duration::try_from_secs_f64(time.seconds_per_group).unwrap_or(Duration::MAX),
        seed: crate::hash::seed(plan.config.seed, &group.id),
    }
}

fn latency(
    own: &Samples,
    over: Option<&Samples>,
    record: &Record,
    context: &Context,
    threads: usize,
    seed: u64,
) -> Option<LatencyRow> {
    const MS: f64 = 1e6;
    let summary = Summary::from_samples(&own.as_f64(), seed)?;
    let rates = context.rates.iter().find(|r| r.threads == threads);
    let share = |achieved: f64, best: Option<f64>| best.map_or(0.0, |best| finite(achieved / best));
    // Operations and bytes per nanosecond are 10⁹ a second.
    let gflops = record.cost.flops as f64 / summary.median;
    let gbytes = record.cost.bytes as f64 / summary.median;
    let speedup = over.and_then(|over| {
        let ratio = ratio_within_rounds(&over.as_f64(), &own.as_f64(), seed)?;
        Some(SpeedupRow {
            over: over.name.clone(),
            median: ratio.median,
            interval: ratio.interval,
        })
    });
    let stop = match own.stop {
        Stop::Converged => "converged",
        Stop::Budget | Stop::BudgetBeforeMinimum => "budget",
        Stop::MaxRounds => "max-rounds",
    };
    Some(LatencyRow {
        samples_ns: own.nanoseconds.clone(),
        calls_per_sample: own.calls_per_sample as usize,
        median_ms: summary.median / MS,
        interval_ms: (summary.interval.0 / MS, summary.interval.1 / MS),
        p10_ms: summary.p10 / MS,
        p90_ms: summary.p90 / MS,
        p99_ms: summary.p99 / MS,
        stop: stop.into(),
        speedup,
        gflops,
        share_of_peak: share(gflops, rates.map(|r| r.peak.gflops)),
        share_of_bandwidth: share(gbytes, rates.map(|r| r.bandwidth.read_gb_s)),
    })
}
