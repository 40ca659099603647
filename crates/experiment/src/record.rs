//! One row of `records.jsonl`: everything known about one variant on one problem.
//!
//! Columns that time nothing (identity, problem, accuracy, gate, cost) are the same bytes on every
//! run of the same config, data, code and ISA path; latency, memory and warnings are not.

use crate::pass::Pass;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of this schema; a reader refuses a newer one.
pub const SCHEMA_VERSION: u32 = 2;

/// How a cell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Gate passed, time measured.
    Ok,
    /// The variant does not do what the cell asks.
    Unsupported,
    /// The gate was not passed, or the call returned an error.
    Failed,
    /// A single call would have taken, or took, longer than the cell's limit.
    Timeout,
    /// It would not fit in memory; it was not started.
    OutOfMemory,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA_VERSION`] at the time of writing.
    pub schema_version: u32,
    /// The experiment's name.
    pub experiment: String,
    /// Hash of config cell, data, code and machine.
    pub cell: String,
    /// Hash of what the cells timed together share.
    pub group: String,
    /// What the inputs are.
    pub workload: WorkloadRow,
    /// Sizes, in DESIGN's letters.
    pub shape: ShapeRow,
    /// The problem mask in words: `full`, `causal`, `causal + lengths`.
    pub mask: String,
    /// What a call computes; forward in rows of version 1, which know no other.
    #[serde(default)]
    pub pass: Pass,
    /// Worker threads.
    pub threads: usize,
    /// Which variant with which parameters.
    pub variant: VariantRow,
    /// How it ended.
    pub status: Status,
    /// Why, where it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the problem is like; absent where inputs could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemRow>,
    /// 1 - (pairs that enter an output) / (visible pairs of the problem).
    pub mask_sparsity: f64,
    /// Errors against softmax attention in f64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<AccuracyRow>,
    /// The check without which no time is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateRow>,
    /// Errors of dQ, dK and dV, of the training pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradients: Option<GradientsRow>,
    /// Rows of one call whose normaliser was so small that its floor was taken instead.
    #[serde(default, skip_serializing_if = "none")]
    pub guarded_rows: u64,
    /// Predicted cost of one call.
    pub cost: CostRow,
    /// Measured time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyRow>,
    /// What absorbing keys and values took, of the decode pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<PrepareRow>,
    /// Measured memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryRow>,
    /// The SIMD path the numbers hold for.
    pub isa: String,
    /// Fingerprint of the machine, as in the manifest.
    pub machine: String,
    /// Identity of the code, as in the manifest.
    pub code: String,
    /// What makes the numbers doubtful, and what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<measure::Warning>,
}

/// What the inputs are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadRow {
    /// The workload's name: `gaussian`, `clusters`, `recency`, `sink`, `histories`, `tensors`.
    pub kind: String,
    /// For people: `interest clusters`, `histories (simulated shop)`, `tensors (qkv.safetensors)`.
    pub label: String,
    /// The entropy asked for, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_entropy: Option<f64>,
    /// Seed of the inputs.
    pub seed: u64,
    /// Checksum of the log, of the tensors, or of the generator and its settings.
    pub data: String,
}

/// Sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ShapeRow {
    pub b: usize,
    pub h: usize,
    pub hkv: usize,
    /// Queries; of a jagged batch, those of the longest history.
    pub nq: usize,
    /// Keys; of a jagged batch, those of the longest history.
    pub nk: usize,
    pub d: usize,
    pub dv: usize,
    /// `padded` or `jagged`.
    pub jagged: bool,
}

/// Which variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantRow {
    /// Name in the registry.
    pub name: String,
    /// `naive`, `blocked`, `linear` or `retrieval`.
    pub family: String,
    /// Name and the parameters that differ within the experiment: `top-k k=64`.
    pub label: String,
    /// All parameters.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Whether it is softmax attention over mask and pattern without approximation.
    pub exact: bool,
    /// Its place on the experiment's ladder, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rung: Option<usize>,
}

/// What the problem is like, by the oracle on the sampled rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProblemRow {
    /// η = mean exp(H(P)) / |Ω|.
    pub entropy: f64,
    /// Share of the keys that holds 90 % of the weight.
    pub kappa_90: f64,
    /// Share of the keys that holds 99 % of the weight.
    pub kappa_99: f64,
    /// Mean weight of the heaviest key.
    pub top1: f64,
    /// Largest |S|.
    pub max_abs_score: f64,
    /// Query rows that the oracle answered.
    pub sampled_rows: usize,
    /// 1 - Σn / (B·max n): linear padding waste.
    pub rho1: f64,
    /// 1 - Σn² / (B·max n²): quadratic padding waste.
    pub rho2: f64,
}

/// Errors of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ErrorsRow {
    pub relative_frobenius: f64,
    pub max_abs: f64,
    pub p999_abs: f64,
    pub mean_cosine: f64,
    pub skill: f64,
}

/// Accuracy against softmax attention in f64 under the problem mask alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracyRow {
    /// The f32 kernel against softmax attention.
    pub total: ErrorsRow,
    /// 95 % interval of `total.relative_frobenius` over the sampled rows.
    pub relative_frobenius_interval: (f64, f64),
    /// The f64 form against softmax attention.
    pub approximation: ErrorsRow,
    /// The f32 kernel against the f64 form.
    pub implementation: ErrorsRow,
    /// ½·Σ|P̂ - P|, where weights exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_variation: Option<f64>,
    /// Weight on keys that the variant leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_mass: Option<f64>,
    /// Share of the ten heaviest keys found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top10_overlap: Option<f64>,
    /// Weight below zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_mass: Option<f64>,
}

/// The accuracy gate: implementation error within the variant's budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GateRow {
    /// Implementation error, relative Frobenius.
    pub value: f64,
    /// What the variant allows itself.
    pub budget: f64,
    /// Whether it kept to it.
    pub passed: bool,
}

/// Errors of gradients against softmax attention in f64, for a dO that is zero outside the sampled rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GradientsRow {
    /// ‖dQ̂ - dQ‖/‖dQ‖.
    pub dq: f64,
    /// ‖dK̂ - dK‖/‖dK‖.
    pub dk: f64,
    /// ‖dV̂ - dV‖/‖dV‖.
    pub dv: f64,
    /// What each may be.
    pub budget: f64,
    /// Whether all three kept to it.
    pub passed: bool,
}

/// Absorbing the keys and values of a history, once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrepareRow {
    /// Median in milliseconds.
    pub median_ms: f64,
    /// 95 % bootstrap interval of the median, in milliseconds.
    pub interval_ms: (f64, f64),
    /// Bytes held afterwards.
    pub bytes: u64,
}

/// Predicted cost of one call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CostRow {
    pub flops: u64,
    pub bytes: u64,
    pub scratch_bytes: u64,
    /// Inputs and output.
    pub tensor_bytes: u64,
}

/// Measured time of one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyRow {
    /// Nanoseconds a call, one sample a round.
    pub samples_ns: Vec<u64>,
    /// Calls that one sample averages.
    pub calls_per_sample: usize,
    /// Median in milliseconds, and its 95 % interval.
    pub median_ms: f64,
    /// 95 % bootstrap interval of the median, in milliseconds.
    pub interval_ms: (f64, f64),
    /// Percentiles in milliseconds.
    pub p10_ms: f64,
    /// 90th.
    pub p90_ms: f64,
    /// 99th.
    pub p99_ms: f64,
    /// Why the rounds ended: `converged`, `budget` or `max-rounds`.
    pub stop: String,
    /// Time of the group's baseline over this one, in the same rounds: above 1 is faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speedup: Option<SpeedupRow>,
    /// Achieved GFLOP/s by the predicted flops.
    pub gflops: f64,
    /// Of the FMA peak measured in the same run for as many threads.
    pub share_of_peak: f64,
    /// Predicted bytes over time, of the bandwidth measured in the same run.
    pub share_of_bandwidth: f64,
}

/// Speed-up over the group's baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeedupRow {
    /// The baseline's label.
    pub over: String,
    /// Median ratio within rounds.
    pub median: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
}

/// Measured memory of one call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MemoryRow {
    /// Bytes allocated at the peak, scratch included, above what inputs and outputs take; absent
    /// where the counting allocator is not installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Scratch held after the call.
    pub scratch_bytes: u64,
    /// Resident set of the process after the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
}

fn none(count: &u64) -> bool {
    *count == 0
}
