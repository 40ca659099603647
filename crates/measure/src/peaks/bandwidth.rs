use super::together::{repeat_together, side_by_side};
use crate::Machine;
use crate::memory::available_bytes;
use serde::{Deserialize, Serialize};
use std::hint::black_box;

/// The most bytes the machine was seen to move to and from memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Reading one array, in 10⁹ bytes a second.
    pub read_gb_s: f64,
    /// a = b + s·c (two reads and a write), in 10⁹ bytes a second; the lines of `a` that the processor
    /// fetches before overwriting them are not counted, as in STREAM.
    pub triad_gb_s: f64,
    /// Bytes of one array, all threads together.
    pub bytes: u64,
    /// Threads that ran, at most as many as the CPUs available.
    pub threads: usize,
}

/// Repeats, of which the best counts.
const REPEATS: usize = 5;

/// Where no cache is known: the last level of a large desktop processor.
const UNKNOWN_CACHE_BYTES: u64 = 32 << 20;

/// An array is at least so many times the last-level cache (STREAM's own rule).
const TIMES_CACHE: u64 = 4;

/// The three arrays together take at most this share of the available memory.
const SHARE_OF_MEMORY: u64 = 4;

/// The loop's width: enough independent f64 sums to hide the latency of an addition.
const LANES: usize = 32;

/// Measures memory bandwidth with `threads` threads (at most the CPUs available), by a sum over one
/// array and by STREAM's triad over three.
///
/// McCalpin, "Memory Bandwidth and Machine Balance in Current High Performance Computers", 1995. Each
/// thread allocates and first touches its own part, so that on NUMA machines pages lie near their
/// reader. Arrays are four times the last-level cache, less where memory is short. Takes some 0.1 s
/// a GB moved; allocates 3·`bytes`.
pub fn memory_bandwidth(threads: usize) -> Bandwidth {
    let threads = side_by_side(threads);
    let caches = Machine::detect().last_level_cache_bytes();
    let available = available_bytes().unwrap_or(u64::MAX);
    measure(threads, array_bytes(caches, available))
}

/// Bytes of one array, of a last level of `caches` bytes and `available` bytes of memory.
fn array_bytes(caches: Option<u64>, available: u64) -> u64 {
    let wanted = caches
        .unwrap_or(UNKNOWN_CACHE_BYTES)
        .saturating_mul(TIMES_CACHE);
    wanted.min(available / SHARE_OF_MEMORY / 3)
}

fn measure(threads: usize, bytes: u64) -> Bandwidth {
    let per_thread = (bytes as usize / size_of::<f64>() / threads / LANES).max(1) * LANES;
    let total = (per_thread * threads * size_of::<f64>()) as f64;
    let fastest = |seconds: Vec<f64>| seconds.into_iter().fold(f64::INFINITY, f64::min);

    let reads = (0..threads).map(|_| {
        let mut a = Vec::new();
        move || {
            touch(&mut a, per_thread, 1.0);
            black_box(sum(black_box(&a)));
        }
    });
    let read_seconds = fastest(repeat_together(reads.collect(), REPEATS));

    let triads = (0..threads).map(|_| {
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        move || {
            touch(&mut a, per_thread, 0.0);
            touch(&mut b, per_thread, 1.0);
            touch(&mut c, per_thread, 2.0);
            triad(&mut a, &b, &c, black_box(3.0));
            black_box(&mut a);
        }
    });
    let triad_seconds = fastest(repeat_together(triads.collect(), REPEATS));

    Bandwidth {
        read_gb_s: total / read_seconds / 1e9,
        triad_gb_s: 3.0 * total / triad_seconds / 1e9,
        bytes: total as u64,
        threads,
    }
}

/// Fills the array on its first use, in the thread that will read it; the first repeat is not timed.
fn touch(array: &mut Vec<f64>, len: usize, value: f64) {
    if array.is_empty() {
        // Not `vec![0.0; n]`: zeroed pages are handed out untouched, all one and the same.
        array.reserve_exact(len);
        array.extend(std::iter::repeat_n(black_box(value), len));
    }
}

fn sum(a: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    for chunk in a.as_chunks::<LANES>().0 {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.iter().sum()
}

fn triad(a: &mut [f64], b: &[f64], c: &[f64], scalar: f64) {
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        *a = b + scalar * c;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_exceed_the_caches_within_the_memory() {
        assert_eq!(array_bytes(Some(32 << 20), 16 << 30), 128 << 20);
        assert_eq!(array_bytes(None, u64::MAX), 128 << 20);
        assert_eq!(array_bytes(Some(1 << 30), 1200 << 20), 100 << 20);
    }

    #[test]
    fn loops_compute_what_they_say() {
        let b: Vec<f64> = (0..64).map(f64::from).collect();
        assert_eq!(sum(&b), 2016.0);
        let mut a = vec![0.0; 64];
        triad(&mut a, &b, &b, 3.0);
        assert_eq!(a[5], 20.0);
    }

    #[test]
    fn bandwidth_is_of_the_order_of_what_memory_does() {
        let measured = memory_bandwidth(1);
        assert!(measured.bytes > 1 << 20);
        for rate in [measured.read_gb_s, measured.triad_gb_s] {
            assert!((0.2..400.0).contains(&rate), "{measured:?}");
        }
    }

    #[test]
    fn a_small_array_in_cache_is_faster_than_memory() {
        let best = |bytes| {
            (0..3)
                .map(|_| measure(1, bytes).read_gb_s)
                .fold(0.0, f64::max)
        };
        let (cached, memory) = (best(512 << 10), memory_bandwidth(1).read_gb_s);
        assert!(cached > memory, "{cached} {memory}");
    }
}
