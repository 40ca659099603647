use super::kib_field;
use std::fs;

fn status_field(name: &str) -> Option<u64> {
    kib_field(&fs::read_to_string("/proc/self/status").ok()?, name)
}

/// Bytes of this process that are in memory now (Linux; `None` elsewhere).
///
/// The kernel counts pages per CPU and adds up later: a difference below some 100 KiB a CPU is no news.
pub fn resident_bytes() -> Option<u64> {
    status_field("VmRSS")
}

/// The most bytes of this process that were in memory at once, since its start or since
/// [`reset_peak_resident`] (Linux; `None` elsewhere).
pub fn peak_resident_bytes() -> Option<u64> {
    status_field("VmHWM")
}

/// Lets the peak resident size start again from the present one; says whether the system did it.
///
/// Linux only (`/proc/self/clear_refs`, proc(5)), and some sandboxes forbid it: on `false` the peak
/// still holds everything since the process began.
pub fn reset_peak_resident() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}
