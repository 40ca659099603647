use serde::{Deserialize, Serialize};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

// Process-wide, because a process has one global allocator. The counts publish no other data, so that
// relaxed ordering is enough.
static LIVE: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator with a count of live bytes, their peak, and allocations.
///
/// A few nanoseconds an allocation, more when several threads allocate at once. The program installs it:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: measure::CountingAllocator = measure::CountingAllocator;
///
/// let (kept, peak) = measure::peak_during(|| {
///     drop(vec![0u8; 3_000_000]);
///     vec![0u8; 1_000_000]
/// });
/// assert_eq!(kept.len(), 1_000_000);
/// assert_eq!(peak.peak_bytes_above_start, 3_000_000);
/// ```
#[derive(Debug, Default, Clone, Copy)]
pub struct CountingAllocator;

fn count_allocation(bytes: usize) {
    ALLOCATIONS.fetch_add(1, Relaxed);
    grow(bytes);
}

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes as u64, Relaxed) + bytes as u64;
    // A read before the exchange: nearly always the peak stands, and then no cache line is taken.
    if live > PEAK.load(Relaxed) {
        PEAK.fetch_max(live, Relaxed);
    }
}

fn shrink(bytes: usize) {
    LIVE.fetch_sub(bytes as u64, Relaxed);
}

// SAFETY: every method forwards its arguments unchanged to `System`, which upholds the contract of
// `GlobalAlloc`; the counters are atomics, which neither allocate nor unwind.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise on `layout` is the one that `System` asks for.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            count_allocation(layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise on `layout` is the one that `System` asks for.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            count_allocation(layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from this allocator, hence from `System`, with the same `layout`.
        unsafe { System.dealloc(block, layout) };
        shrink(layout.size());
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: `block` came from `System` with `layout`, and the caller vouches for `new_size`.
        let moved = unsafe { System.realloc(block, layout, new_size) };
        if !moved.is_null() {
            ALLOCATIONS.fetch_add(1, Relaxed);
            if new_size >= layout.size() {
                grow(new_size - layout.size());
            } else {
                shrink(layout.size() - new_size);
            }
        }
        moved
    }
}

/// What a piece of work took from the allocator.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationPeak {
    /// The most bytes that were live at once, less those live at the start.
    pub peak_bytes_above_start: u64,
    /// Allocations and reallocations.
    pub allocations: u64,
}

/// Whether [`CountingAllocator`] is this program's global allocator.
pub fn is_installed() -> bool {
    // A Rust program allocates before `main` (thread names, arguments); the box settles the rest.
    drop(std::hint::black_box(Box::new(0u64)));
    ALLOCATIONS.load(Relaxed) > 0
}

/// Bytes live in the allocator now; 0 when it [is not installed](is_installed).
pub fn live_bytes() -> u64 {
    LIVE.load(Relaxed)
}

/// Runs `work` and says how far the live bytes rose above where they stood.
///
/// Meaningful only when [`CountingAllocator`] [is installed](is_installed), all zeros otherwise. Calls
/// may be nested. The count is the whole process's: what other threads allocate meanwhile is in it, so
/// measure one piece of work at a time. While a block is reallocated, old and new count as one.
pub fn peak_during<T>(work: impl FnOnce() -> T) -> (T, AllocationPeak) {
    let outer_peak = PEAK.load(Relaxed);
    let allocations = ALLOCATIONS.load(Relaxed);
    let start = LIVE.load(Relaxed);
    PEAK.store(start, Relaxed);
    let result = work();
    let inner = AllocationPeak {
        peak_bytes_above_start: PEAK.load(Relaxed).saturating_sub(start),
        allocations: ALLOCATIONS.load(Relaxed) - allocations,
    };
    // An enclosing call must still see the highest of its own span.
    PEAK.fetch_max(outer_peak, Relaxed);
    (result, inner)
}
