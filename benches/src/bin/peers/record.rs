//! One line a cell and contender.

use crate::cells::Spec;
use crate::gate::Verdict;
use measure::RatioSummary;
use peers::SOFTMAX;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// What became of a contender in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// It passed the gate and was timed.
    Ok,
    /// It gave a wrong answer or none.
    Failed,
    /// It cannot do what is asked.
    Unsupported,
    /// It is not installed.
    Unavailable,
    /// It would take too much memory.
    LeftOut,
}

/// One contender in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) group: String,
    pub(crate) b: usize,
    pub(crate) h: usize,
    pub(crate) nq: usize,
    pub(crate) nk: usize,
    pub(crate) d: usize,
    pub(crate) mask: String,
    #[serde(default = "softmax")]
    pub(crate) attention: String,
    pub(crate) work: String,
    pub(crate) dtype: String,
    pub(crate) threads: usize,
    /// Name of the contender: a variant of ours, or a peer of the catalog.
    pub(crate) contender: String,
    /// The library, `attnbench` for ours.
    pub(crate) library: String,
    pub(crate) version: Option<String>,
    /// How threads were placed.
    pub(crate) placement: String,
    pub(crate) status: Status,
    /// Why there is no time.
    pub(crate) reason: Option<String>,
    /// Relative Frobenius error of O against the f64 oracle, and what is allowed.
    pub(crate) error: Option<f64>,
    pub(crate) budget: Option<f64>,
    /// The largest of those of dQ, dK and dV.
    pub(crate) gradient_error: Option<f64>,
    /// Median of the rounds, and its 95 % interval.
    pub(crate) median_ms: Option<f64>,
    pub(crate) interval_ms: Option<(f64, f64)>,
    /// The sample of each round.
    pub(crate) rounds_ms: Vec<f64>,
    /// The peer that ratios are taken to.
    pub(crate) baseline: Option<String>,
    /// This time over the baseline's, within rounds.
    pub(crate) to_baseline: Option<RatioSummary>,
    /// The fastest peer of the cell.
    pub(crate) best: Option<String>,
    /// This time over the fastest peer's, within rounds.
    pub(crate) to_best: Option<RatioSummary>,
}

impl Row {
    /// A row without a time yet.
    pub(crate) fn new(spec: &Spec, contender: &str, library: &str) -> Self {
        Self {
            group: spec.group.clone(),
            b: spec.b,
            h: spec.h,
            nq: spec.nq,
            nk: spec.nk,
            d: spec.d,
            mask: spec.mask.clone(),
            attention: spec.attention.clone(),
            work: spec.work.name().into(),
            dtype: spec.dtype.name().into(),
            threads: spec.threads,
            contender: contender.into(),
            library: library.into(),
            version: None,
            placement: measure::placement(),
            status: Status::Ok,
            reason: None,
            error: None,
            budget: None,
            gradient_error: None,
            median_ms: None,
            interval_ms: None,
            rounds_ms: Vec::new(),
            baseline: None,
            to_baseline: None,
            best: None,
            to_best: None,
        }
    }

    /// The same row, with the reason why there is no time.
    pub(crate) fn without_time(mut self, status: Status, reason: impl Into<String>) -> Self {
        self.status = status;
        self.reason = Some(reason.into());
        self
    }

    /// Notes what the gate found.
    pub(crate) fn note(&mut self, verdict: Verdict) {
        // JSON has no NaN: an error that is no number is left out, and the reason says so.
        self.error = Some(verdict.error).filter(|x| x.is_finite());
        self.budget = Some(verdict.budget);
        self.gradient_error = verdict.gradient_error.filter(|x| x.is_finite());
    }

    /// Whether it is ours.
    pub(crate) fn is_ours(&self) -> bool {
        self.library == OURS
    }

    /// What rows of one cell have in common.
    pub(crate) fn cell(&self) -> (&str, usize, usize, usize, usize, usize, &str, usize) {
        let Self {
            group,
            b,
            h,
            nq,
            nk,
            d,
            mask,
            threads,
            ..
        } = self;
        (group, *b, *h, *nq, *nk, *d, mask, *threads)
    }

    /// Useful work a second of softmax attention: 4·pairs·D operations, 14 for forward and backward;
    /// half of it causal.
    pub(crate) fn gflops(&self) -> Option<f64> {
        if self.attention != SOFTMAX {
            return None;
        }
        let sparsity: f64 = match self.mask.split_once(' ') {
            None if self.mask == "causal" => 0.5,
            None => 0.0,
            Some(("blocks", sparsity)) => sparsity.parse().ok()?,
            Some(_) => return None,
        };
        let pairs = (self.b * self.h * self.nq * self.nk) as f64 * (1.0 - sparsity);
        let each = if self.work == "training" { 14.0 } else { 4.0 };
        Some(each * pairs * self.d as f64 / self.median_ms? / 1e6)
    }
}

fn softmax() -> String {
    SOFTMAX.into()
}

/// The library of our own contenders.
pub(crate) const OURS: &str = "attnbench";

/// Fills in the ratios of the rows of one cell.
pub(crate) fn compare(rows: &mut [Row], baseline: &str, seed: u64) {
    let known: Vec<(String, bool, f64, Vec<f64>)> = rows
        .iter()
        .filter_map(|row| {
            let times = row.rounds_ms.clone();
            Some((row.contender.clone(), row.is_ours(), row.median_ms?, times))
        })
        .collect();
    let base = known.iter().find(|(name, ..)| name == baseline);
    let peers = known.iter().filter(|(_, ours, ..)| !ours);
    let best = peers.min_by(|a, b| a.2.total_cmp(&b.2));
    for row in rows.iter_mut().filter(|row| row.median_ms.is_some()) {
        let ratio = |other: &(String, bool, f64, Vec<f64>)| {
            measure::ratio_within_rounds(&row.rounds_ms, &other.3, seed)
        };
        (row.to_baseline, row.to_best) = (base.and_then(ratio), best.and_then(ratio));
        row.baseline = base.map(|(name, ..)| name.clone());
        row.best = best.map(|(name, ..)| name.clone());
    }
}

/// Reads the rows of a file; a torn last line is left out.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<Row>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:24}", self.contender)?;
        match (self.median_ms, &self.reason) {
            (Some(ms), _) => {
                write!(f, "{ms:11.4} ms")?;
                if let Some(ratio) = self.to_best {
                    write!(f, "  {:6.3} of the best peer", ratio.median)?;
                }
                write!(f, "  error {:.1e}", self.error.unwrap_or(f64::NAN))
            }
            (None, Some(reason)) => write!(f, "{:?}: {reason}", self.status),
            (None, None) => f.write_str("not timed"),
        }
    }
}
