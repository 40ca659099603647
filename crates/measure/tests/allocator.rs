//! The counting allocator, installed as the global one of this test's process.

use measure::memory::{is_installed, live_bytes};
use measure::{CountingAllocator, peak_during};
use std::hint::black_box;
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

// The counts are the process's, and tests run on several threads: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const MIB: u64 = 1 << 20;

/// The test harness allocates a little at its own times.
fn about(bytes: u64, expected: u64) -> bool {
    bytes.abs_diff(expected) < 64 * 1024
}

fn block(bytes: u64) -> Vec<u8> {
    black_box(Vec::with_capacity(bytes as usize))
}

#[test]
fn peak_is_of_what_is_live_at_once() {
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    assert!(is_installed());
    let before = live_bytes();
    let (kept, peak) = peak_during(|| {
        for _ in 0..5 {
            drop(block(8 * MIB));
        }
        let kept = block(4 * MIB);
        drop(block(6 * MIB));
        kept
    });
    assert!(about(peak.peak_bytes_above_start, 10 * MIB), "{peak:?}");
    assert!((7..50).contains(&peak.allocations), "{peak:?}");
    assert!(about(live_bytes() - before, 4 * MIB));
    drop(kept);
    assert!(about(live_bytes(), before));
}

#[test]
fn what_was_live_before_does_not_count() {
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let standing = block(32 * MIB);
    let ((), peak) = peak_during(|| drop(block(MIB)));
    assert!(about(peak.peak_bytes_above_start, MIB), "{peak:?}");
    // Freeing it inside must not let the count go below the start.
    let ((), peak) = peak_during(move || drop(standing));
    assert!(about(peak.peak_bytes_above_start, 0), "{peak:?}");
}

#[test]
fn growing_and_shrinking_keep_the_count() {
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let before = live_bytes();
    let (grown, peak) = peak_during(|| {
        let mut grown = block(MIB);
        grown.resize(MIB as usize, 1u8);
        grown.reserve_exact(15 * MIB as usize);
        grown.shrink_to_fit();
        grown
    });
    assert!(about(peak.peak_bytes_above_start, 16 * MIB), "{peak:?}");
    assert!(about(live_bytes() - before, MIB));
    drop(grown);
    let zeroed = black_box(vec![0u64; MIB as usize / 8]);
    assert!(about(live_bytes() - before, MIB));
    drop(zeroed);
    assert!(about(live_bytes(), before));
}

#[test]
fn nested_spans_see_each_their_own_peak() {
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let (inner, outer) = peak_during(|| {
        drop(block(12 * MIB));
        let _standing = block(2 * MIB);
        peak_during(|| drop(block(3 * MIB))).1
    });
    assert!(about(inner.peak_bytes_above_start, 3 * MIB), "{inner:?}");
    assert!(about(outer.peak_bytes_above_start, 12 * MIB), "{outer:?}");
}

#[test]
fn allocations_of_other_threads_count() {
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let ((), peak) = peak_during(|| {
        let pool = measure::pool(2).unwrap();
        pool.install(|| drop(block(5 * MIB)));
    });
    assert!(peak.peak_bytes_above_start >= 5 * MIB, "{peak:?}");
}
