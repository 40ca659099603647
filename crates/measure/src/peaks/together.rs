//! The same work on several threads at once, timed from the first start to the last end.

use std::sync::Barrier;
use std::time::Instant;

/// Threads that can run side by side here, out of those asked for: more would take turns, and add nothing.
pub(super) fn side_by_side(threads: usize) -> usize {
    threads.clamp(1, crate::machine::available_cpus())
}

/// Runs each of `works` on its own thread, `repeats` times in step, and returns the seconds of each
/// repeat, from the first thread's start to the last one's end.
pub(super) fn repeat_together<W: FnMut() + Send>(works: Vec<W>, repeats: usize) -> Vec<f64> {
    let barrier = Barrier::new(works.len());
    let run = |mut work: W| {
        let mut spans = Vec::with_capacity(repeats);
        // The first one warms up: pages are touched, the clock rises.
        for _ in 0..=repeats {
            barrier.wait();
            let start = Instant::now();
            work();
            spans.push((start, Instant::now()));
        }
        spans
    };
    let run = &run;
    let spans: Vec<Vec<(Instant, Instant)>> = std::thread::scope(|scope| {
        let handles: Vec<_> = works
            .into_iter()
            .map(|work| scope.spawn(move || run(work)))
            .collect();
        handles
            .into_iter()
            .filter_map(|handle| handle.join().ok())
            .collect()
    });
    (1..=repeats)
        .filter_map(|repeat| {
            let start = spans.iter().map(|thread| thread[repeat].0).min()?;
            let end = spans.iter().map(|thread| thread[repeat].1).max()?;
            Some((end - start).as_secs_f64())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::time::Duration;

    #[test]
    fn works_run_side_by_side_and_once_more_than_they_are_timed() {
        let calls = AtomicUsize::new(0);
        // Sleeping needs no CPU, so that four of them overlap on any machine.
        let sleep = || {
            calls.fetch_add(1, Relaxed);
            std::thread::sleep(Duration::from_millis(25));
        };
        let seconds = repeat_together(vec![sleep; 4], 3);
        assert_eq!((seconds.len(), calls.load(Relaxed)), (3, 16));
        assert!(seconds.iter().all(|&s| s >= 0.025));
        assert!(seconds.iter().any(|&s| s < 0.075), "{seconds:?}");
    }
}
