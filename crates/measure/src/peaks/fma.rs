use super::together::{repeat_together, side_by_side};
use crate::machine::isa;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::time::Instant;

/// The most arithmetic the machine was seen to do in one format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// 10⁹ operations a second, a multiply-add counting as two.
    pub gflops: f64,
    /// Code path: `avx512`, `avx2`, `neon` or `portable`; `avx512bf16` or `avx512vnni` of a dot product.
    pub isa: String,
    /// Threads that ran, at most as many as the CPUs available.
    pub threads: usize,
}

/// Repeats, of which the best counts: whatever disturbs can only slow down.
const REPEATS: usize = 40;

/// Seconds of one repeat: shorter than the scheduler's slice, so that on a busy machine some repeats run
/// undisturbed, and long beside the microseconds by which threads start apart.
const REPEAT_SECONDS: f64 = 0.002;

/// Measures the peak of f32 multiply-adds with `threads` threads (at most the CPUs available), in about 90 ms.
///
/// Independent chains of multiply-adds in registers: more of them than the latency of the operation
/// (4 cycles) times the pipes (2), so that every pipe starts one each cycle; no memory is touched.
/// Timed from the first thread's start to the last one's end: on a busy machine the threads may find
/// no moment to run side by side, and the peak is what they were given.
///
/// ```
/// let peak = measure::fma_peak(1);
/// assert!(peak.gflops > 0.1);
/// ```
pub fn fma_peak(threads: usize) -> Peak {
    peak_of(Kernel::best(), threads)
}

pub(super) fn peak_of(kernel: Kernel, threads: usize) -> Peak {
    let threads = side_by_side(threads);
    let steps = steps_for(kernel, REPEAT_SECONDS);
    let works = (0..threads).map(|_| move || kernel.run(steps)).collect();
    let fastest = repeat_together(works, REPEATS)
        .into_iter()
        .fold(f64::INFINITY, f64::min);
    let operations = (kernel.operations_per_step * steps * threads as u64) as f64;
    Peak {
        gflops: operations / fastest / 1e9,
        isa: kernel.isa.to_owned(),
        threads,
    }
}

/// Steps that take about `seconds`, from a run long enough to trust the clock.
fn steps_for(kernel: Kernel, seconds: f64) -> u64 {
    let mut steps = 10_000;
    loop {
        let start = Instant::now();
        kernel.run(steps);
        let elapsed = start.elapsed().as_secs_f64();
        if elapsed > seconds / 10.0 {
            return ((steps as f64 * seconds / elapsed) as u64).max(1);
        }
        steps *= 4;
    }
}

#[derive(Clone, Copy)]
pub(super) struct Kernel {
    pub(super) isa: &'static str,
    pub(super) operations_per_step: u64,
    pub(super) chains: fn(u64) -> f32,
}

impl Kernel {
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        match isa() {
            "avx512" => return x86::AVX512,
            "avx2" => return x86::AVX2,
            _ => {}
        }
        Self {
            isa: isa(),
            ..PORTABLE
        }
    }

    fn run(self, steps: u64) {
        black_box((self.chains)(black_box(steps)));
    }
}

// Each x becomes x·MULTIPLIER + ADDEND, which stays near 1: no subnormal or infinite operand may change the speed.
const MULTIPLIER: f32 = 0.5;
const ADDEND: f32 = 0.5;

/// Starting values that the compiler cannot see, all different: equal chains would be merged into one.
fn start(chain: usize) -> f32 {
    black_box(1.0 + chain as f32 / 1024.0)
}

/// Eight vectors of 128 bits: half of the registers that every architecture of interest has.
const PORTABLE_CHAINS: usize = 32;

const PORTABLE: Kernel = Kernel {
    isa: "portable",
    operations_per_step: PORTABLE_CHAINS as u64 * 2,
    chains: portable,
};

fn portable(steps: u64) -> f32 {
    let (multiplier, addend) = (black_box(MULTIPLIER), black_box(ADDEND));
    let mut chains: [f32; PORTABLE_CHAINS] = std::array::from_fn(start);
    for _ in 0..steps {
        for x in &mut chains {
            // A fused operation where the baseline has one; elsewhere it would be a call to the mathematics library.
            *x = if cfg!(target_arch = "aarch64") {
                x.mul_add(multiplier, addend)
            } else {
                *x * multiplier + addend
            };
        }
    }
    chains.iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "calls past run-time detection")]
mod x86 {
    use super::{ADDEND, Kernel, MULTIPLIER, black_box, start};
    use std::arch::x86_64::{
        _mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_add_ps,
        _mm512_cvtss_f32, _mm512_fmadd_ps, _mm512_set1_ps,
    };

    /// Half of the 32 registers, twice what latency 4 and two pipes need.
    const AVX512_CHAINS: usize = 16;
    /// With the two constants, 14 of the 16 registers; latency 5 and two pipes need 10.
    const AVX2_CHAINS: usize = 12;

    pub(super) const AVX512: Kernel = Kernel {
        isa: "avx512",
        operations_per_step: AVX512_CHAINS as u64 * 16 * 2,
        // SAFETY: `Kernel::best` gives this kernel only where `isa` has found AVX-512F at run time.
        chains: |steps| unsafe { avx512(steps) },
    };

    pub(super) const AVX2: Kernel = Kernel {
        isa: "avx2",
        operations_per_step: AVX2_CHAINS as u64 * 8 * 2,
        // SAFETY: `Kernel::best` gives this kernel only where `isa` has found AVX2 and FMA at run time.
        chains: |steps| unsafe { avx2(steps) },
    };

    #[target_feature(enable = "avx512f")]
    fn avx512(steps: u64) -> f32 {
        let multiplier = _mm512_set1_ps(black_box(MULTIPLIER));
        let addend = _mm512_set1_ps(black_box(ADDEND));
        let mut chains = [_mm512_set1_ps(0.0); AVX512_CHAINS];
        for (chain, x) in chains.iter_mut().enumerate() {
            *x = _mm512_set1_ps(start(chain));
        }
        for _ in 0..steps {
            for x in &mut chains {
                *x = _mm512_fmadd_ps(*x, multiplier, addend);
            }
        }
        let mut sum = chains[0];
        for x in &chains[1..] {
            sum = _mm512_add_ps(sum, *x);
        }
        _mm512_cvtss_f32(sum)
    }

    #[target_feature(enable = "avx2,fma")]
    fn avx2(steps: u64) -> f32 {
        let multiplier = _mm256_set1_ps(black_box(MULTIPLIER));
        let addend = _mm256_set1_ps(black_box(ADDEND));
        let mut chains = [_mm256_set1_ps(0.0); AVX2_CHAINS];
        for (chain, x) in chains.iter_mut().enumerate() {
            *x = _mm256_set1_ps(start(chain));
        }
        for _ in 0..steps {
            for x in &mut chains {
                *x = _mm256_fmadd_ps(*x, multiplier, addend);
            }
        }
        let mut sum = chains[0];
        for x in &chains[1..] {
            sum = _mm256_add_ps(sum, *x);
        }
        _mm256_cvtss_f32(sum)
    }
}

#[cfg(test)]
mod tests;
