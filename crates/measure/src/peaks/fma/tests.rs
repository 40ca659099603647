use super::*;

fn rate(kernel: Kernel) -> f64 {
    let steps = steps_for(kernel, REPEAT_SECONDS);
    let seconds = repeat_together(vec![move || kernel.run(steps)], REPEATS);
    let fastest = seconds.into_iter().fold(f64::INFINITY, f64::min);
    (kernel.operations_per_step * steps) as f64 / fastest / 1e9
}

/// What two pipes of `lanes` floats do at 6.5 GHz: more means that work was optimised away.
fn ceiling(lanes: f64) -> f64 {
    2.0 * 2.0 * lanes * 6.5
}

#[test]
fn no_path_exceeds_what_its_registers_allow() {
    let portable = rate(PORTABLE);
    assert!(portable > 0.2 && portable < ceiling(8.0), "{portable}");
    #[cfg(target_arch = "x86_64")]
    if isa() != "portable" {
        let avx2 = rate(x86::AVX2);
        assert!(avx2 > portable && avx2 < ceiling(8.0), "{portable} {avx2}");
    }
    #[cfg(target_arch = "x86_64")]
    if isa() == "avx512" {
        // Not above the AVX2 path everywhere: some processors split 512 bits in two, or clock lower.
        let avx512 = rate(x86::AVX512);
        assert!(
            avx512 > portable && avx512 < ceiling(16.0),
            "{portable} {avx512}"
        );
    }
}

#[test]
fn the_best_path_is_the_machine_s() {
    let peak = fma_peak(1);
    assert_eq!((peak.isa.as_str(), peak.threads), (isa(), 1));
    assert!(peak.gflops > 0.2);
}

#[test]
fn threads_stay_within_the_cpus() {
    let cpus = crate::machine::available_cpus();
    assert_eq!(fma_peak(cpus + 100).threads, cpus);
    assert_eq!(fma_peak(0).threads, 1);
}
