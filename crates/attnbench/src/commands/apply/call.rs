//! The calls themselves, with everything made ready before.

use crate::failure::Failure;
use crate::output;
use attention::{Attention, Feature, Gradients, Output, Problem, Scratch, Workers};
use ndarray::Array4;
use std::time::Instant;

/// Times of repeated calls, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) median_ms: f64,
    pub(super) min_ms: f64,
    pub(super) p90_ms: f64,
}

/// What came of the calls.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) output: Output,
    pub(super) gradients: Option<Gradients>,
    pub(super) forward: Timing,
    pub(super) backward: Option<Timing>,
    pub(super) scratch_bytes: u64,
}

/// Refuses what would not fit in memory, before the system does so less politely.
pub(super) fn fits(
    attention: &dyn Attention,
    problem: &Problem<'_>,
    threads: usize,
) -> Result<(), Failure> {
    let s = problem.shape();
    let answer = 4 * (s.b * s.h * s.nq * (s.dv + 1)) as u64;
    let needed = attention
        .scratch_bytes(problem.geometry(), threads)
        .saturating_add(answer);
    match measure::memory::available_bytes() {
        Some(available) if needed > available => Err(Failure::work(
            format!(
                "{} needs {} for {s}; {} are available",
                attention.capabilities().variant,
                output::bytes(needed),
                output::bytes(available),
            ),
            "take a variant that does not hold all scores at once, fewer threads, or a smaller batch",
        )),
        _ => Ok(()),
    }
}

/// One call into NaN-poisoned outputs that is not counted, then `repeat` that are; the same for
/// backward where `d_o` is given.
pub(super) fn call(
    attention: &dyn Attention,
    problem: &Problem<'_>,
    d_o: Option<&Array4<f32>>,
    workers: &Workers,
    repeat: u32,
) -> Result<Answer, Failure> {
    let with_lse = d_o.is_some() && attention.capabilities().has(Feature::LogSumExp);
    let mut output = Output::poisoned(problem.geometry(), with_lse);
    let mut scratch = Scratch::new();
    let (geometry, threads) = (problem.geometry(), workers.threads());
    let ahead = attention.scratch_bytes(geometry, threads);
    scratch.reserve(match d_o {
        Some(_) => ahead.max(attention.backward_scratch_bytes(geometry, threads)),
        None => ahead,
    });
    let forward = timed(repeat, || {
        attention.forward(problem, output.view_mut(), workers, &mut scratch)
    })?;
    let mut gradients = d_o.map(|_| Gradients::zeros(problem));
    let backward = d_o.zip(gradients.as_mut()).map(|(d_o, gradients)| {
        timed(repeat, || {
            let d_o = d_o.view();
            attention.backward(problem, &output, d_o, gradients, workers, &mut scratch)
        })
    });
    let backward = backward.transpose()?;
    Ok(Answer {
        output,
        gradients,
        forward,
        backward,
        scratch_bytes: scratch.bytes(),
    })
}

fn timed(repeat: u32, mut call: impl FnMut() -> attention::Result<()>) -> Result<Timing, Failure> {
    call()?;
    let mut samples = Vec::with_capacity(repeat as usize);
    for _ in 0..repeat {
        let start = Instant::now();
        call()?;
        samples.push(start.elapsed().as_secs_f64() * 1e3);
    }
    samples.sort_unstable_by(f64::total_cmp);
    Ok(Timing {
        median_ms: measure::quantile(&samples, 0.5),
        min_ms: measure::quantile(&samples, 0.0),
        p90_ms: measure::quantile(&samples, 0.9),
    })
}
