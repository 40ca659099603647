//! How many calls make a sample long enough for the clock.

use super::plan::Turn;
use crate::clock;

/// The shortest sample, in ns. Reading the clock costs some 25 ns on either side and its step may be 100 ns
/// on a virtual machine: 50 µs puts both below half a per cent.
const SHORTEST_SAMPLE_NS: u64 = 50_000;

/// Most calls in a sample: a call of nothing at all must come to an end.
const MOST_CALLS: u32 = 1 << 20;

impl Turn<'_> {
    /// Nanoseconds per call: over `calls` calls in a row, or as the contestant says.
    pub(super) fn sample(&mut self, calls: u32) -> u64 {
        match self {
            Turn::Timed(call) => sample(call, calls),
            Turn::SelfTimed(turn) => clock::nanoseconds(turn()).max(1),
        }
    }

    /// The calls per sample of a contestant whose single call took `single_ns`.
    pub(super) fn calls_per_sample(&mut self, single_ns: u64) -> u32 {
        match self {
            Turn::Timed(call) => calls_per_sample(call, single_ns),
            Turn::SelfTimed(_) => 1,
        }
    }
}

/// Nanoseconds per call, over `calls` calls in a row.
fn sample(call: &mut dyn FnMut(), calls: u32) -> u64 {
    let total = clock::time(|| {
        for _ in 0..calls {
            call();
        }
    });
    // Rounded, and at least 1 so that ratios stay finite.
    ((total + u64::from(calls) / 2) / u64::from(calls)).max(1)
}

/// Chooses the calls per sample of a contestant whose single call took `single_ns`, by growing the batch
/// until it lasts long enough.
fn calls_per_sample(call: &mut dyn FnMut(), single_ns: u64) -> u32 {
    if single_ns >= SHORTEST_SAMPLE_NS {
        return 1;
    }
    let mut calls = 1u32;
    loop {
        let total = sample(call, calls).saturating_mul(u64::from(calls));
        if total >= SHORTEST_SAMPLE_NS || calls >= MOST_CALLS {
            return calls;
        }
        // Towards the target at once, but no more than tenfold: a first estimate of a few ns is mostly the
        // clock's own cost.
        let wanted = u64::from(calls) * SHORTEST_SAMPLE_NS / total.max(1) + 1;
        let grown = wanted.clamp(u64::from(calls) + 1, u64::from(calls) * 10);
        calls = u32::try_from(grown).unwrap_or(MOST_CALLS).min(MOST_CALLS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn spin(duration: Duration) {
        let start = Instant::now();
        while start.elapsed() < duration {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_long_call_is_its_own_sample() {
        assert_eq!(calls_per_sample(&mut || panic!("not needed"), 60_000), 1);
    }

    #[test]
    fn short_calls_are_batched_to_the_shortest_sample() {
        let calls = calls_per_sample(&mut || spin(Duration::from_micros(5)), 5_000);
        assert!((5..=11).contains(&calls), "{calls}");
    }

    #[test]
    fn an_empty_call_comes_to_an_end() {
        let calls = calls_per_sample(&mut || {}, 20);
        assert!(calls > 1000);
    }

    #[test]
    fn a_sample_is_per_call() {
        let ns = sample(&mut || spin(Duration::from_micros(50)), 4);
        assert!((50_000..150_000).contains(&ns), "{ns}");
    }
}
