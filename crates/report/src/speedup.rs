//! How many times faster one cell is than another, with an interval.

use experiment::record::Record;

/// A ratio of times and its 95 % interval; above 1 is faster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speedup {
    pub(crate) median: f64,
    pub(crate) interval: (f64, f64),
}

/// What a comparison of two times shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Faster,
    Slower,
    /// The interval holds 1.
    Tie,
}

impl Speedup {
    /// Whether the interval leaves 1 out, and on which side.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.interval.0 > 1.0 {
            Outcome::Faster
        } else if self.interval.1 < 1.0 {
            Outcome::Slower
        } else {
            Outcome::Tie
        }
    }
}

/// Rounds below which a bootstrap of paired ratios says nothing.
const ENOUGH_ROUNDS: usize = 5;

/// Resampling is seeded, so that the same records give the same page.
const SEED: u64 = 0;

/// How many times faster `fast` is than `slow`; `None` where one has no time.
///
/// Cells timed in the same rounds are compared round by round. Others are compared by the intervals of
/// their medians, the worst case against the worst case: wider, never too sure.
pub(crate) fn speedup(slow: &Record, fast: &Record) -> Option<Speedup> {
    let (a, b) = (slow.latency.as_ref()?, fast.latency.as_ref()?);
    let paired = slow.group == fast.group
        && a.samples_ns.len() == b.samples_ns.len()
        && a.samples_ns.len() >= ENOUGH_ROUNDS;
    if paired {
        let float = |samples: &[u64]| samples.iter().map(|&ns| ns as f64).collect::<Vec<_>>();
        let ratio =
            measure::ratio_within_rounds(&float(&a.samples_ns), &float(&b.samples_ns), SEED)?;
        return Some(Speedup {
            median: ratio.median,
            interval: ratio.interval,
        });
    }
    let median = a.median_ms / b.median_ms;
    let interval = (
        a.interval_ms.0 / b.interval_ms.1,
        a.interval_ms.1 / b.interval_ms.0,
    );
    (median.is_finite() && interval.0.is_finite() && interval.1.is_finite())
        .then_some(Speedup { median, interval })
}
