//! Turns in interleaved rounds.

use crate::contender::{Contender, PAUSE, turn};
use crate::record::Row;
use measure::{Contestant, RoundPlan, Summary, median, run_rounds};
use std::time::Duration;

/// Who passed the gate: which row is theirs, and seconds of one call.
pub(crate) struct Entrant<'a> {
    pub(crate) row: usize,
    pub(crate) contender: Contender<'a>,
    pub(crate) seconds: f64,
}

/// Below six rounds no interval of a median is a 95 % one.
const FEWEST_ROUNDS: usize = 6;

/// More than this times slower than the fastest, and the one call of the gate must do.
const TOO_SLOW: f64 = 12.0;

/// Times the entrants and writes their rows; one that falls out has the reason in its row.
pub(crate) fn time(entrants: Vec<Entrant<'_>>, rows: &mut [Row], seconds: f64, seed: u64) {
    let fastest = entrants
        .iter()
        .map(|e| e.seconds)
        .fold(f64::INFINITY, f64::min);
    let (mut quick, slow): (Vec<_>, Vec<_>) = entrants
        .into_iter()
        .partition(|e| e.seconds <= TOO_SLOW * fastest);
    for entrant in slow {
        fill(&mut rows[entrant.row], &[entrant.seconds], seed);
    }
    let mut faults: Vec<Option<String>> = quick.iter().map(|_| None).collect();
    let mut contestants: Vec<Contestant<'_>> = quick
        .iter_mut()
        .zip(&mut faults)
        .map(|(entrant, fault)| {
            let name = rows[entrant.row].contender.clone();
            let (calls, warm) = turn(entrant.seconds);
            Contestant::self_timed(name, move || {
                if fault.is_some() {
                    return Duration::ZERO;
                }
                std::thread::sleep(PAUSE);
                match entrant.contender.run(calls, warm) {
                    Ok(seconds) => Duration::from_secs_f64(median(&seconds)),
                    Err(error) => {
                        *fault = Some(error.to_string());
                        Duration::ZERO
                    }
                }
            })
        })
        .collect();
    let plan = RoundPlan {
        warmup: 1,
        min_rounds: FEWEST_ROUNDS,
        max_rounds: 40,
        relative_interval: 0.01,
        budget: Duration::from_secs_f64(seconds),
        seed,
    };
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    drop(contestants);
    for ((entrant, fault), samples) in quick.iter().zip(faults).zip(samples) {
        let row = &mut rows[entrant.row];
        if let Some(reason) = fault {
            row.status = crate::record::Status::Failed;
            row.reason = Some(reason);
            continue;
        }
        let seconds: Vec<f64> = samples.as_f64().iter().map(|ns| ns / 1e9).collect();
        fill(row, &seconds, seed);
    }
}

fn fill(row: &mut Row, seconds: &[f64], seed: u64) {
    row.rounds_ms = seconds.iter().map(|s| s * 1e3).collect();
    if let Some(summary) = Summary::from_samples(&row.rounds_ms, seed) {
        row.median_ms = Some(summary.median);
        row.interval_ms = Some(summary.interval);
    }
}
