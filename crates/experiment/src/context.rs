//! Machine, memory, peaks and code: what a plan is made against.

use crate::identity::CodeIdentity;
use measure::{Bandwidth, Machine, Peak};
use serde::{Deserialize, Serialize};

/// What the machine can do at best with so many threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Threads.
    pub threads: usize,
    /// FMA peak.
    pub peak: Peak,
    /// Peak of bf16 dot products, where the processor has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16: Option<Peak>,
    /// Peak of int8 dot products, where the processor has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<Peak>,
    /// Memory bandwidth.
    pub bandwidth: Bandwidth,
}

/// Where an experiment runs.
#[derive(Debug, Clone)]
pub struct Context {
    /// The computer.
    pub machine: Machine,
    /// Hash of its fingerprint.
    pub fingerprint: String,
    /// Memory that tensors and scratch may take; `None` where the system does not tell.
    pub available_bytes: Option<u64>,
    /// Peaks, by threads, where they were measured.
    pub rates: Vec<Rates>,
    /// The code.
    pub code: CodeIdentity,
}

/// GFLOP/s of a thread where nothing was measured: AVX2 at 3 GHz, two pipes.
const ASSUMED_PEAK: f64 = 96.0;

impl Context {
    /// Looks at machine and code; measures nothing.
    #[must_use]
    pub fn detect() -> Self {
        let machine = Machine::detect();
        Self {
            fingerprint: crate::hash::short([machine.fingerprint()]),
            machine,
            available_bytes: measure::memory::available_bytes(),
            rates: Vec::new(),
            code: CodeIdentity::of_this_program(),
        }
    }

    /// Measures the peaks for so many threads, once. Takes about a second.
    pub fn measure(&mut self, threads: usize) -> &Rates {
        let at = self
            .rates
            .iter()
            .position(|r| r.threads == threads)
            .unwrap_or_else(|| {
                self.rates.push(Rates {
                    threads,
                    peak: measure::fma_peak(threads),
                    bf16: measure::bf16_peak(threads),
                    int8: measure::int8_peak(threads),
                    bandwidth: measure::memory_bandwidth(threads),
                });
                self.rates.len() - 1
            });
        &self.rates[at]
    }

    /// The FMA peak in GFLOP/s, measured or assumed.
    #[must_use]
    pub fn peak_gflops(&self, threads: usize) -> f64 {
        let measured = self
            .rates
            .iter()
            .find(|r| r.threads == threads)
            .map(|r| r.peak.gflops);
        measured
            .unwrap_or_else(|| ASSUMED_PEAK * threads.min(self.machine.cpus_allowed).max(1) as f64)
    }
}
