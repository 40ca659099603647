//! What a call will take, and whether that can be had.

use super::cell::Verdict;
use super::group::{Group, GroupSpec};
use crate::config::Config;
use crate::context::Context;
use crate::record::Status;
use crate::units;
use attention::{Attention, Geometry};

/// Predicted cost of one call.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes across the memory bus.
    pub bytes: u64,
    /// Working memory.
    pub scratch_bytes: u64,
    /// Q, K, V and O, and the gradient of each where the pass has them.
    pub tensor_bytes: u64,
    /// What the oracle holds meanwhile.
    pub oracle_bytes: u64,
    /// Seconds at 15 % of the peak, where a middling kernel stands.
    pub seconds: f64,
    /// Seconds at the peak: it cannot be faster.
    pub least_seconds: f64,
}

/// Share of the FMA peak that a middling kernel reaches; a guess, for the first estimate.
const EFFICIENCY: f64 = 0.15;

/// Operations per second and thread of the oracle in f64.
const ORACLE_RATE: f64 = 1.5e9;

impl Estimate {
    pub(super) fn of(
        attention: &dyn Attention,
        geometry: &Geometry,
        spec: &GroupSpec,
        config: &Config,
        peak_gflops: f64,
    ) -> Self {
        let cost = attention.cost(geometry, spec.threads);
        let shape = geometry.shape();
        let tensor_bytes = if geometry.is_jagged() {
            attention::Shape { b: 1, ..*shape }.tensor_bytes()
        } else {
            shape.tensor_bytes()
        };
        let flops = spec.pass.flops(cost.flops);
        let least_seconds = flops as f64 / (peak_gflops * 1e9);
        Self {
            flops,
            bytes: spec.pass.tensor_bytes(cost.bytes),
            scratch_bytes: spec.pass.scratch_bytes(attention, geometry, spec.threads),
            tensor_bytes: spec.pass.tensor_bytes(tensor_bytes),
            // Weights of the sampled rows in f64: the oracle's, the form's, and copies while they are compared.
            oracle_bytes: 4 * 8 * (config.accuracy.rows * spec.shape.nk) as u64,
            seconds: least_seconds / EFFICIENCY,
            least_seconds,
        }
    }
}

/// Refuses what does not fit into memory, and what is too slow even at the peak.
pub(super) fn verdict(estimate: &Estimate, config: &Config, context: &Context) -> Verdict {
    let beside = estimate.tensor_bytes.saturating_add(estimate.oracle_bytes);
    if let Some(available) = context.available_bytes
        && estimate.scratch_bytes.saturating_add(beside) > available
    {
        return Verdict::skip(
            Status::OutOfMemory,
            format!(
                "needs {} of scratch beside {} of tensors and oracle, {} available",
                units::bytes(estimate.scratch_bytes),
                units::bytes(beside),
                units::bytes(available)
            ),
        );
    }
    if estimate.least_seconds > config.time.seconds_per_call {
        return Verdict::skip(
            Status::Timeout,
            format!(
                "a call would take {} even at the machine's peak, the limit is {}",
                units::seconds(estimate.least_seconds),
                units::seconds(config.time.seconds_per_call)
            ),
        );
    }
    Verdict::Run
}

/// Gate calls, oracle and rounds of a group, in seconds.
pub(super) fn group_seconds(group: &Group, config: &Config) -> f64 {
    let (time, shape) = (&config.time, &group.spec.shape);
    let calls: Vec<f64> = group
        .cells
        .iter()
        .filter(|cell| cell.verdict == Verdict::Run)
        .map(|cell| cell.estimate.seconds)
        .collect();
    if calls.is_empty() {
        return 0.0;
    }
    let round: f64 = calls.iter().sum();
    let rows = config.accuracy.rows.min(shape.b * shape.h * shape.nq);
    let per_row = shape.nk * (2 * (shape.d + shape.dv) + 40);
    let threads = measure::machine::available_cpus();
    let oracle = (rows * per_row * (calls.len() + 1)) as f64 / ORACLE_RATE / threads as f64;
    let least = round * (time.min_rounds + time.warmup) as f64;
    let most = round * (time.max_rounds + time.warmup) as f64;
    round
        + oracle
        + most
            .min(time.seconds_per_group)
            .max(least.min(2.0 * time.seconds_per_group))
}
