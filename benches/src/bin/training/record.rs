//! One line a cell and contender.

use measure::{RatioSummary, Summary};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// The library of our own contenders.
pub(crate) const OURS: &str = "attnbench";
pub(crate) const THEIRS: &str = "PyTorch";

/// One contender in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) cell: String,
    pub(crate) work: String,
    /// A variant of ours, or a form of PyTorch's.
    pub(crate) contender: String,
    pub(crate) library: String,
    pub(crate) version: String,
    pub(crate) threads: usize,
    pub(crate) placement: String,
    /// Why there is no time.
    pub(crate) reason: Option<String>,
    /// Relative Frobenius distance of its logits from ours at equal parameters.
    pub(crate) logits_error: Option<f64>,
    /// Of an evaluation: the share of users whose rank is the same as ours.
    pub(crate) equal_ranks: Option<f64>,
    /// Of the first timed step, and the mean of the last quarter.
    pub(crate) losses: Option<(f64, f64)>,
    /// Median of the rounds, and its 95 % interval.
    pub(crate) median_ms: Option<f64>,
    pub(crate) interval_ms: Option<(f64, f64)>,
    pub(crate) rounds_ms: Vec<f64>,
    /// The fastest of PyTorch's that does the same, and this time over its, within rounds.
    pub(crate) baseline: Option<String>,
    pub(crate) to_baseline: Option<RatioSummary>,
    /// Bytes of the model, its optimiser and a step.
    pub(crate) peak_bytes: Option<f64>,
}

impl Row {
    pub(crate) fn new(cell: &str, work: &str, contender: &str, ours: bool, threads: usize) -> Self {
        Self {
            cell: cell.into(),
            work: work.into(),
            contender: contender.into(),
            library: if ours { OURS } else { THEIRS }.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            threads,
            placement: measure::placement(),
            reason: None,
            logits_error: None,
            equal_ranks: None,
            losses: None,
            median_ms: None,
            interval_ms: None,
            rounds_ms: Vec::new(),
            baseline: None,
            to_baseline: None,
            peak_bytes: None,
        }
    }

    pub(crate) fn fill(&mut self, rounds_ms: Vec<f64>, seed: u64) {
        if let Some(summary) = Summary::from_samples(&rounds_ms, seed) {
            self.median_ms = Some(summary.median);
            self.interval_ms = Some(summary.interval);
        }
        self.rounds_ms = rounds_ms;
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.library == OURS
    }

    /// Whether it does what ours does: the whole dropout.
    pub(crate) fn is_peer(&self) -> bool {
        !self.is_ours() && !self.contender.ends_with("nodrop")
    }
}

/// Fills in the ratios of the rows of one cell.
pub(crate) fn compare(rows: &mut [Row], seed: u64) {
    let time = |row: &Row| row.median_ms.unwrap_or(f64::INFINITY);
    let best = rows
        .iter()
        .filter(|row| row.is_peer() && row.median_ms.is_some())
        .min_by(|a, b| time(a).total_cmp(&time(b)))
        .cloned();
    let Some(best) = best else { return };
    for row in rows.iter_mut().filter(|row| row.median_ms.is_some()) {
        row.to_baseline = measure::ratio_within_rounds(&row.rounds_ms, &best.rounds_ms, seed);
        row.baseline = Some(best.contender.clone());
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
        write!(f, "{:10} {:14}", self.library, self.contender)?;
        if let Some(ms) = self.median_ms {
            write!(f, "{ms:10.2} ms")?;
        }
        if let Some(ratio) = self.to_baseline {
            write!(f, "  {:6.3} of PyTorch's", ratio.median)?;
        }
        if let Some(bytes) = self.peak_bytes {
            write!(f, "  {:8.1} MiB", bytes / 1048576.0)?;
        }
        match &self.reason {
            Some(reason) => write!(f, "  {reason}"),
            None => Ok(()),
        }
    }
}
