//! Elapsed time in whole nanoseconds, from the monotonic clock.

use std::time::{Duration, Instant};

/// A duration in nanoseconds; saturates after 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs `work` and returns the nanoseconds that passed, at least 1 so that ratios stay finite.
pub(crate) fn time(work: impl FnOnce()) -> u64 {
    let start = Instant::now();
    work();
    nanoseconds(start.elapsed()).max(1)
}
