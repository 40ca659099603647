//! Every number that a record holds, as one list: columns, axes and tables derive from it.

use crate::record::Record;

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// Neither: it describes the problem or the choice.
    Neutral,
}

/// A number of a record.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its column.
    pub name: &'static str,
    /// Its unit; empty for ratios.
    pub unit: &'static str,
    /// Which way is good.
    pub direction: Direction,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Reads it.
    pub value: fn(&Record) -> Option<f64>,
}

macro_rules! metrics {
    ($($name:literal, $unit:literal, $direction:ident, $summary:literal, $value:expr;)*) => {
        &[$(Metric {
            name: $name, unit: $unit, direction: Direction::$direction, summary: $summary, value: $value,
        }),*]
    };
}

/// Every metric, in the order of columns.
pub static METRICS: &[Metric] = metrics![
    "median_ms", "ms", Lower, "median time of a call", |r| Some(r.latency.as_ref()?.median_ms);
    "median_low_ms", "ms", Lower, "lower end of the median's 95 % interval", |r| Some(r.latency.as_ref()?.interval_ms.0);
    "median_high_ms", "ms", Lower, "upper end of the median's 95 % interval", |r| Some(r.latency.as_ref()?.interval_ms.1);
    "p10_ms", "ms", Lower, "10th percentile of the time", |r| Some(r.latency.as_ref()?.p10_ms);
    "p90_ms", "ms", Lower, "90th percentile of the time", |r| Some(r.latency.as_ref()?.p90_ms);
    "p99_ms", "ms", Lower, "99th percentile of the time", |r| Some(r.latency.as_ref()?.p99_ms);
    "speedup", "", Higher, "time of the baseline over this one's, within rounds", |r| Some(r.latency.as_ref()?.speedup.as_ref()?.median);
    "gflops", "GFLOP/s", Higher, "predicted operations over the median time", |r| Some(r.latency.as_ref()?.gflops);
    "share_of_peak", "", Higher, "of the FMA peak measured in the same run", |r| Some(r.latency.as_ref()?.share_of_peak);
    "share_of_bandwidth", "", Higher, "of the memory bandwidth measured in the same run", |r| Some(r.latency.as_ref()?.share_of_bandwidth);
    "prepare_ms", "ms", Lower, "median time of absorbing keys and values, decode pass", |r| Some(r.prepare?.median_ms);
    "prepared_bytes", "B", Lower, "held by absorbed keys and values, decode pass", |r| Some(r.prepare?.bytes as f64);
    "peak_bytes", "B", Lower, "allocated at the peak of a call beside inputs and output", |r| Some(r.memory?.peak_bytes? as f64);
    "scratch_bytes", "B", Lower, "predicted working memory", |r| Some(r.cost.scratch_bytes as f64);
    "relative_frobenius", "", Lower, "‖Ô - O‖/‖O‖ against softmax attention in f64", |r| Some(r.accuracy.as_ref()?.total.relative_frobenius);
    "max_abs", "", Lower, "largest |Ô - O|", |r| Some(r.accuracy.as_ref()?.total.max_abs);
    "p999_abs", "", Lower, "99.9th percentile of |Ô - O|", |r| Some(r.accuracy.as_ref()?.total.p999_abs);
    "mean_cosine", "", Higher, "mean cosine between rows of Ô and O", |r| Some(r.accuracy.as_ref()?.total.mean_cosine);
    "skill", "", Higher, "1 - ‖Ô - O‖²/‖Ō - O‖²: 0 averages the visible values, 1 is exact", |r| Some(r.accuracy.as_ref()?.total.skill);
    "approximation_error", "", Lower, "relative Frobenius error of the f64 form", |r| Some(r.accuracy.as_ref()?.approximation.relative_frobenius);
    "implementation_error", "", Lower, "relative Frobenius error of the kernel against its f64 form", |r| Some(r.accuracy.as_ref()?.implementation.relative_frobenius);
    "dq_error", "", Lower, "‖dQ̂ - dQ‖/‖dQ‖ against f64, training pass", |r| Some(r.gradients?.dq);
    "dk_error", "", Lower, "‖dK̂ - dK‖/‖dK‖ against f64, training pass", |r| Some(r.gradients?.dk);
    "dv_error", "", Lower, "‖dV̂ - dV‖/‖dV‖ against f64, training pass", |r| Some(r.gradients?.dv);
    "total_variation", "", Lower, "½·Σ|P̂ - P|", |r| r.accuracy.as_ref()?.total_variation;
    "missed_mass", "", Lower, "weight of P on keys that are left out", |r| r.accuracy.as_ref()?.missed_mass;
    "top10_overlap", "", Higher, "share of the ten heaviest keys found", |r| r.accuracy.as_ref()?.top10_overlap;
    "negative_mass", "", Lower, "weight below zero", |r| r.accuracy.as_ref()?.negative_mass;
    "guarded_rows", "", Lower, "rows whose normaliser was at its floor, in one call", |r| Some(r.guarded_rows as f64).filter(|_| r.accuracy.is_some());
    "mask_sparsity", "", Neutral, "1 - pairs that enter an output / visible pairs", |r| Some(r.mask_sparsity);
    "entropy", "", Neutral, "η = mean exp(H(P))/|Ω|", |r| Some(r.problem.as_ref()?.entropy);
    "kappa_90", "", Neutral, "share of the keys that holds 90 % of the weight", |r| Some(r.problem.as_ref()?.kappa_90);
    "kappa_99", "", Neutral, "share of the keys that holds 99 % of the weight", |r| Some(r.problem.as_ref()?.kappa_99);
    "rho1", "", Neutral, "linear padding waste", |r| Some(r.problem.as_ref()?.rho1);
    "rho2", "", Neutral, "quadratic padding waste", |r| Some(r.problem.as_ref()?.rho2);
];
