use super::*;

#[test]
fn the_peak_is_of_the_order_of_what_processors_do() {
    let peak = fma_peak(1);
    assert_eq!((peak.isa.as_str(), peak.threads), (isa(), 1));
    // Above 6 GHz, two pipes of 512 bits do not reach 64 · 6 = 384: more means that work was optimised away.
    let per_cycle = match peak.isa.as_str() {
        "avx512" => 64.0,
        "avx2" => 32.0,
        _ => 32.0,
    };
    assert!(
        peak.gflops > 0.2 && peak.gflops < per_cycle * 6.5,
        "{peak:?}"
    );
}

#[test]
fn vectors_beat_the_portable_path() {
    if isa() == "avx512" || isa() == "avx2" {
        let portable = Kernel {
            isa: "portable",
            operations_per_step: 1,
            chains: super::portable,
        };
        let rate = |kernel: Kernel| {
            let steps = steps_for(kernel, 0.01);
            let fastest = repeat_together(vec![move || kernel.run(steps)], 5)
                .into_iter()
                .fold(f64::INFINITY, f64::min);
            steps as f64 / fastest
        };
        let per_second = rate(portable) * PORTABLE_CHAINS as f64 * 2.0 / 1e9;
        assert!(fma_peak(1).gflops > 1.5 * per_second);
    }
}

#[test]
fn more_threads_give_more_and_no_more_than_the_cpus() {
    let cpus = crate::machine::available_cpus();
    assert_eq!(fma_peak(cpus + 100).threads, cpus);
    assert_eq!(fma_peak(0).threads, 1);
    if cpus >= 2 {
        // Far below the ideal 2: the other CPU may be busy with something else while tests run.
        let best = |threads| (0..3).map(|_| fma_peak(threads).gflops).fold(0.0, f64::max);
        let (one, two) = (best(1), best(2));
        assert!(two > 1.05 * one && two < 2.6 * one, "{one} {two}");
    }
}
