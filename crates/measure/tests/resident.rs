//! Resident memory; alone in its process, because other tests would move it.

#![cfg(target_os = "linux")]

use measure::memory::{peak_resident_bytes, reset_peak_resident, resident_bytes};

#[test]
fn touched_pages_are_resident_and_the_peak_remembers_and_forgets() {
    const BYTES: u64 = 128 << 20;
    const SLACK: u64 = 8 << 20;
    let before = resident_bytes().unwrap();
    let block = std::hint::black_box(vec![1u8; BYTES as usize]);
    let during = resident_bytes().unwrap();
    assert!(during + SLACK >= before + BYTES, "{before} {during}");
    drop(block);
    assert!(resident_bytes().unwrap() < before + SLACK);
    assert!(peak_resident_bytes().unwrap() + SLACK >= during);
    if reset_peak_resident() {
        assert!(peak_resident_bytes().unwrap() < before + SLACK);
    }
}
