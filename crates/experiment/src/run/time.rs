//! Interleaved rounds of the variants that passed.

use super::call::{Call, Given, Room};
use super::gate::{finite, guarded};
use super::progress::{Event, Progress};
use super::rows;
use crate::context::Context;
use crate::plan::{Group, Plan};
use crate::record::{LatencyRow, PrepareRow, Record, SpeedupRow, Status};
use measure::{
    Contestant, Phase, RoundPlan, Samples, Stop, Summary, ratio_within_rounds, run_rounds,
};
use ndarray::Array4;
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

/// Of a group's budget, the share that absorbing keys and values is timed for.
const PREPARE_SHARE: f64 = 0.2;

const MS: f64 = 1e6;

/// What the variants of a group are timed on.
pub(super) struct Timing<'a> {
    pub(super) plan: &'a Plan,
    pub(super) context: &'a Context,
    pub(super) group: &'a Group,
    pub(super) given: Given<'a>,
    /// A dense dO, where the pass has gradients.
    pub(super) d_o: Option<&'a Array4<f32>>,
}

impl Timing<'_> {
    /// Times the variants that passed and completes their rows.
    pub(super) fn rounds(
        &self,
        room: Room,
        passed: &[(usize, Call<'_>)],
        records: &mut [Record],
        progress: &mut dyn Progress,
    ) {
        let round_plan = self.round_plan(1.0);
        let faults: Vec<RefCell<Option<String>>> =
            passed.iter().map(|_| RefCell::new(None)).collect();
        let room = RefCell::new(room);
        let most = passed
            .iter()
            .map(|(_, call)| call.scratch_bytes(&self.given))
            .max();
        room.borrow_mut().scratch.reserve(most.unwrap_or(0));
        let mut contestants: Vec<Contestant<'_>> = passed
            .iter()
            .zip(&faults)
            .map(|((index, call), fault)| {
                let room = &room;
                Contestant::new(self.group.cells[*index].label.clone(), move || {
                    if fault.borrow().is_some() {
                        return;
                    }
                    let mut room = room.borrow_mut();
                    if let Err(reason) = guarded(|| call.run(&self.given, self.d_o, &mut room)) {
                        *fault.borrow_mut() = Some(reason);
                    }
                    black_box(&room.output);
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
        let baseline = self.plan.config.baseline.as_deref();
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
                    let threads = self.group.spec.threads;
                    let seed = round_plan.seed;
                    record.latency = latency(own, over, record, self.context, threads, seed);
                    record.warnings = measure::warnings::sample_warnings(own, &round_plan);
                }
            }
        }
    }

    /// Times how long each variant takes to absorb keys and values, in rounds of their own.
    pub(super) fn prepares(&self, passed: &[(usize, Call<'_>)], records: &mut [Record]) {
        let round_plan = self.round_plan(PREPARE_SHARE);
        let mut contestants: Vec<Contestant<'_>> = passed
            .iter()
            .map(|(index, call)| {
                Contestant::new(self.group.cells[*index].label.clone(), move || {
                    let (problem, workers) = (call.problem, self.given.workers);
                    // It was prepared before: what fails now shows by taking no time.
                    let _ = black_box(guarded(|| call.variant().prepare(problem, workers)));
                })
            })
            .collect();
        let samples = run_rounds(&mut contestants, &round_plan, &mut |_| {});
        drop(contestants);
        for ((index, call), own) in passed.iter().zip(&samples) {
            let summary = Summary::from_samples(&own.as_f64(), round_plan.seed);
            let timed = records[*index].latency.is_some();
            records[*index].prepare = summary.filter(|_| timed).map(|s| PrepareRow {
                median_ms: s.median / MS,
                interval_ms: (s.interval.0 / MS, s.interval.1 / MS),
                bytes: call.absorbed_bytes(),
            });
        }
    }

    /// The rounds of the config, for a share of its budget.
    fn round_plan(&self, share: f64) -> RoundPlan {
        let time = &self.plan.config.time;
        let seconds = share * time.seconds_per_group;
        RoundPlan {
            warmup: time.warmup,
            min_rounds: time.min_rounds,
            max_rounds: time.max_rounds,
            relative_interval: time.relative_interval,
            budget: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
            seed: crate::hash::seed(self.plan.config.seed, &self.group.id),
        }
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
