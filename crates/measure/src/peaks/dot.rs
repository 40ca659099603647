//! Dot products of narrow numbers: several multiply-adds a lane in one instruction.

use super::Peak;
#[cfg(target_arch = "x86_64")]
use super::fma::peak_of;

/// Measures the peak of bf16 dot products with f32 sums (`vdpbf16ps`, two multiply-adds a lane) with
/// `threads` threads (at most the CPUs available), in about 90 ms; `None` where the processor has no
/// such instruction.
///
/// ```
/// if let Some(peak) = measure::bf16_peak(1) {
///     assert_eq!(peak.isa, "avx512bf16");
/// }
/// ```
pub fn bf16_peak(threads: usize) -> Option<Peak> {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx512bf16") && std::is_x86_feature_detected!("avx512f") {
        return Some(peak_of(x86::BF16, threads));
    }
    let _ = threads;
    None
}

/// Measures the peak of int8 dot products with int32 sums (`vpdpbusd`, four multiply-adds a lane) as
/// [`bf16_peak`] does that of bf16.
pub fn int8_peak(threads: usize) -> Option<Peak> {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx512vnni") && std::is_x86_feature_detected!("avx512f") {
        return Some(peak_of(x86::INT8, threads));
    }
    let _ = threads;
    None
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "calls past run-time detection")]
mod x86 {
    use super::super::fma::Kernel;
    use std::arch::x86_64::{
        _mm512_add_epi32, _mm512_add_ps, _mm512_cvtne2ps_pbh, _mm512_cvtss_f32, _mm512_dpbf16_ps,
        _mm512_dpbusd_epi32, _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_set1_epi32,
        _mm512_set1_ps,
    };
    use std::hint::black_box;

    /// Latency 6 and two pipes need 12.
    const CHAINS: usize = 16;

    pub(super) const BF16: Kernel = Kernel {
        isa: "avx512bf16",
        operations_per_step: CHAINS as u64 * 32 * 2,
        // SAFETY: `bf16_peak` has found AVX-512F and BF16 at run time.
        chains: |steps| unsafe { bf16(steps) },
    };

    pub(super) const INT8: Kernel = Kernel {
        isa: "avx512vnni",
        operations_per_step: CHAINS as u64 * 64 * 2,
        // SAFETY: `int8_peak` has found AVX-512F and VNNI at run time.
        chains: |steps| unsafe { int8(steps) },
    };

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn bf16(steps: u64) -> f32 {
        let one = _mm512_set1_ps(black_box(1.0));
        let ones = _mm512_cvtne2ps_pbh(one, one);
        let mut chains = [_mm512_set1_ps(0.0); CHAINS];
        for (chain, x) in chains.iter_mut().enumerate() {
            *x = _mm512_set1_ps(black_box(1.0 + chain as f32 / 1024.0));
        }
        for _ in 0..steps {
            for x in &mut chains {
                *x = _mm512_dpbf16_ps(*x, ones, ones);
            }
        }
        let mut sum = chains[0];
        for x in &chains[1..] {
            sum = _mm512_add_ps(sum, *x);
        }
        _mm512_cvtss_f32(sum)
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn int8(steps: u64) -> f32 {
        let (a, b) = (
            _mm512_set1_epi8(black_box(1)),
            _mm512_set1_epi8(black_box(1)),
        );
        let mut chains = [_mm512_set1_epi32(0); CHAINS];
        for (chain, x) in chains.iter_mut().enumerate() {
            *x = _mm512_set1_epi32(black_box(chain as i32));
        }
        for _ in 0..steps {
            for x in &mut chains {
                *x = _mm512_dpbusd_epi32(*x, a, b);
            }
        }
        let mut sum = chains[0];
        for x in &chains[1..] {
            sum = _mm512_add_epi32(sum, *x);
        }
        _mm512_reduce_add_epi32(sum) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What two pipes do at 6.5 GHz, each lane of 512 bits so many multiply-adds: more means that work
    /// was optimised away.
    fn ceiling(per_lane: f64) -> f64 {
        2.0 * 2.0 * 16.0 * per_lane * 6.5
    }

    #[test]
    fn dot_products_stay_within_what_their_registers_allow() {
        for (peak, per_lane) in [(bf16_peak(1), 2.0), (int8_peak(1), 4.0)] {
            if let Some(peak) = peak {
                assert!(
                    peak.gflops > 0.2 && peak.gflops < ceiling(per_lane),
                    "{peak:?}"
                );
                assert_eq!(peak.threads, 1);
            }
        }
    }
}
