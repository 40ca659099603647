//! Memory: live bytes counted by the allocator, resident and available bytes as the system tells them.
//!
//! The two views differ on purpose. The allocator's count is exact and repeatable, and knows nothing of
//! code, stacks or pages never touched; the resident size is what the machine gave, in whole pages,
//! and keeps what the allocator has not handed back.

#[expect(unsafe_code, reason = "the trait of global allocators is unsafe")]
mod allocator;
mod available;
mod resident;

pub use allocator::{AllocationPeak, CountingAllocator, is_installed, live_bytes, peak_during};
pub use available::available_bytes;
pub use resident::{peak_resident_bytes, reset_peak_resident, resident_bytes};

/// The number of bytes in a line of `/proc` such as `MemTotal:  24627084 kB`.
pub(crate) fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}
