//! A cell from the gate to the last round.

use crate::Failure;
use crate::cell::{Cell, Work};
use crate::contender::Contender;
use crate::ours::Ours;
use crate::record::{Row, compare};
use crate::theirs::Theirs;
use measure::{Contestant, RoundPlan, median, run_rounds};
use std::path::Path;
use std::time::Duration;

const SEED: u64 = 5;

/// Our attention, exact and fused, and the same materialised; the first is who the others are held to.
const OURS: [&str; 2] = ["blocked", "naive-gemm"];
const STEP: [&str; 3] = ["naive", "sdpa", "sdpa-nodrop"];
const EVALUATION: [&str; 3] = ["naive", "sdpa", "sdpa-sorted"];

/// How far logits may differ: f32 through two blocks.
const LOGITS: f64 = 1e-4;
/// The share of users whose ranks must be equal: scores that are nearly so may change places.
const RANKS: f64 = 0.99;

/// Between two turns pools that spin for want of work have parked.
const PAUSE: Duration = Duration::from_millis(20);
/// About how long a turn lasts.
const TURN: f64 = 0.1;

/// Runs a cell; a contender that cannot take part has the reason in its row.
pub(crate) fn run(cell: &Cell, threads: usize, seconds: f64) -> Result<Vec<Row>, Failure> {
    let (work, theirs) = match &cell.work {
        Work::Step(_) => ("step", STEP),
        Work::Evaluation(_) => ("evaluation", EVALUATION),
    };
    let names = OURS.iter().map(|name| (*name, true));
    let names = names.chain(theirs.iter().map(|name| (*name, false)));
    let mut rows: Vec<Row> = names
        .map(|(name, ours)| Row::new(&cell.name, work, name, ours, threads))
        .collect();
    let folder = tempfile::tempdir()?;
    let first = Ours::new(cell, OURS[0], threads)?;
    first.save(folder.path())?;
    let probes = cell.probes();
    let expected = first.logits(&probes)?;
    drop(first);
    let parameters = folder.path().join("epoch-0.safetensors");
    let mut entrants = Vec::new();
    for (n, row) in rows.iter_mut().enumerate() {
        match enter(cell, row, &parameters, &probes, &expected) {
            Ok(contender) => entrants.push((n, contender)),
            Err(fault) => row.reason = Some(fault.to_string()),
        }
    }
    time(&mut entrants, &mut rows, seconds);
    let ours = match entrants.first_mut() {
        Some((0, contender)) => contender.ranks()?,
        _ => Vec::new(),
    };
    for (n, contender) in &mut entrants {
        let row = &mut rows[*n];
        match cell.work {
            Work::Step(_) => row.peak_bytes = Some(contender.memory()?),
            Work::Evaluation(_) => {
                let equal = contender.ranks()?.into_iter().zip(&ours);
                let equal = equal.filter(|(rank, own)| rank == *own).count();
                let share = equal as f64 / ours.len().max(1) as f64;
                row.equal_ranks = Some(share);
                if share < RANKS {
                    withhold(row, format!("only {share:.4} of its ranks are ours"));
                }
            }
        }
    }
    compare(&mut rows, SEED);
    Ok(rows)
}

/// A contender that has passed the gate: the same logits from the same parameters.
fn enter<'c>(
    cell: &'c Cell,
    row: &mut Row,
    parameters: &Path,
    probes: &[Vec<u32>],
    expected: &[f32],
) -> Result<Contender<'c>, Failure> {
    let mut contender = if row.is_ours() {
        Contender::Ours(Box::new(Ours::new(cell, &row.contender, row.threads)?))
    } else {
        let theirs = Theirs::new(cell, &row.contender, row.threads, parameters)?;
        row.version.clone_from(&theirs.version);
        Contender::Theirs(theirs)
    };
    let found = contender.logits(probes)?;
    let square = |x: f32| f64::from(x) * f64::from(x);
    let apart: f64 = found.iter().zip(expected).map(|(f, e)| square(f - e)).sum();
    let size: f64 = expected.iter().map(|e| square(*e)).sum();
    let error = (apart / size).sqrt();
    row.logits_error = Some(error).filter(|error| error.is_finite());
    if found.len() != expected.len() || !error.le(&LOGITS) {
        return Err(format!("its logits differ from ours by {error:.1e}").into());
    }
    Ok(contender)
}

fn time(entrants: &mut [(usize, Contender<'_>)], rows: &mut [Row], seconds: f64) {
    let mut notes: Vec<(Vec<f64>, Option<String>)> =
        entrants.iter().map(|_| Default::default()).collect();
    let mut contestants: Vec<Contestant<'_>> = entrants
        .iter_mut()
        .zip(&mut notes)
        .map(|((n, contender), (losses, fault))| {
            // Of a turn; as many as fill it, once it is known how long one takes.
            let mut calls = 1;
            Contestant::self_timed(rows[*n].contender.clone(), move || {
                if fault.is_some() {
                    return Duration::ZERO;
                }
                std::thread::sleep(PAUSE);
                match contender.run(calls, 1) {
                    Ok(turn) => {
                        losses.extend(turn.losses);
                        let seconds = median(&turn.seconds);
                        calls = (TURN / seconds.max(1e-9)).clamp(1.0, 5.0) as usize;
                        Duration::from_secs_f64(seconds)
                    }
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
        min_rounds: 6,
        max_rounds: 40,
        relative_interval: 0.01,
        budget: Duration::from_secs_f64(seconds),
        seed: SEED,
    };
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    drop(contestants);
    for (((n, _), (losses, fault)), samples) in entrants.iter().zip(notes).zip(samples) {
        let row = &mut rows[*n];
        row.fill(samples.as_f64().iter().map(|ns| ns / 1e6).collect(), SEED);
        if let Some(reason) = fault {
            withhold(row, reason);
        } else if row.work == "step" {
            let last = &losses[losses.len() - losses.len().div_ceil(4)..];
            let last = last.iter().sum::<f64>() / last.len() as f64;
            row.losses = Some((losses[0], last));
            if !last.lt(&losses[0]) {
                withhold(row, format!("its loss went from {} to {last}", losses[0]));
            }
        }
    }
}

/// No time without a right answer.
fn withhold(row: &mut Row, reason: String) {
    row.reason = Some(reason);
    (row.median_ms, row.interval_ms) = (None, None);
    row.rounds_ms.clear();
}
