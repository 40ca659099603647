//! What computer this is: processor, instruction sets, caches, memory, governor, load.
//!
//! Read from `/proc` and `/sys`; what a system does not tell is absent, never guessed.

mod cpu_time;
mod cpus;
mod isa;
mod linux;

pub use cpu_time::CpuTime;
pub use cpus::{available_cpus, cpus_allowed, logical_cpus};
pub use isa::{features, isa};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One cache, counted once however many CPUs share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// 1, 2, 3 ...
    pub level: u8,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// Bytes.
    pub size_bytes: u64,
    /// CPUs that share it, as the kernel lists them: `0-7,64-71`.
    pub shared_cpus: String,
}

/// The computer that a measurement was made on, and its state when asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor name, as it calls itself; `unknown` where the system does not tell.
    pub cpu_model: String,
    /// Processor vendor, e.g. `AuthenticAMD`; `unknown` where the system does not tell.
    pub vendor: String,
    /// Processor family (x86).
    pub family: Option<u32>,
    /// Model within the family (x86).
    pub model: Option<u32>,
    /// Stepping of the model (x86).
    pub stepping: Option<u32>,
    /// CPUs that the system schedules on.
    pub logical_cpus: usize,
    /// Cores, counting CPUs that share one (SMT) once; `None` where the system does not tell.
    pub physical_cores: Option<usize>,
    /// CPUs that this process may run on (affinity).
    pub cpus_allowed: usize,
    /// CPUs that this process can keep busy: those allowed, within its CPU quota (containers).
    pub cpus_available: usize,
    /// Architecture that the program was compiled for: `x86_64`, `aarch64`.
    pub arch: String,
    /// Instruction-set extensions found at run time, of those that matter to dense arithmetic.
    pub features: Vec<String>,
    /// The best code path they allow: `avx512`, `avx2`, `neon` or `portable`.
    pub isa: String,
    /// Caches, by level.
    pub caches: Vec<Cache>,
    /// Frequency governor of the first CPU; `None` where there is none, as in most virtual machines.
    pub governor: Option<String>,
    /// Installed memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Operating system, e.g. `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Whether it is a virtual machine; `None` where the system does not tell.
    pub hypervisor: Option<bool>,
    /// Runnable tasks, averaged over 1, 5 and 15 minutes, when asked.
    pub load_average: Option<[f64; 3]>,
}

impl Machine {
    /// Looks at the computer this runs on. Reads small files only: well under a millisecond a CPU.
    ///
    /// ```
    /// let machine = measure::Machine::detect();
    /// println!("{} ({})", machine.cpu_model, machine.isa);
    /// assert!(machine.cpus_allowed >= 1);
    /// ```
    pub fn detect() -> Self {
        linux::detect()
    }

    /// The stable facts in one line, equal on every run on the same machine.
    ///
    /// Processor, instruction sets, caches, cores, and memory rounded up to a power of two; not the
    /// load, the governor, the kernel or the affinity, which change between runs.
    pub fn fingerprint(&self) -> String {
        let number = |x: Option<u32>| x.map_or_else(|| "?".to_owned(), |x| x.to_string());
        let mut alike: BTreeMap<(u8, &str, u64), usize> = BTreeMap::new();
        for cache in &self.caches {
            *alike
                .entry((cache.level, &cache.kind, cache.size_bytes))
                .or_default() += 1;
        }
        let caches: Vec<String> = alike
            .iter()
            .map(|((level, kind, bytes), count)| {
                format!(
                    "{count} x L{level} {} {}K",
                    kind.to_lowercase(),
                    bytes >> 10
                )
            })
            .collect();
        let memory = self.memory_bytes.and_then(u64::checked_next_power_of_two);
        format!(
            "{} {} {}/{}/{}; {} {}; {}; {} cores {} cpus; {}; {}",
            self.vendor,
            self.cpu_model,
            number(self.family),
            number(self.model),
            number(self.stepping),
            self.arch,
            self.isa,
            self.features.join("+"),
            self.physical_cores
                .map_or_else(|| "?".to_owned(), |n| n.to_string()),
            self.logical_cpus,
            caches.join(" + "),
            memory.map_or_else(
                || "memory ?".to_owned(),
                |bytes| format!("memory <= {} MiB", bytes >> 20)
            ),
        )
    }

    /// Bytes of all last-level caches together: an array must be several times this to live in memory.
    ///
    /// All of them, because threads spread over the machine reach each its own. `None` where the system
    /// does not tell.
    pub fn last_level_cache_bytes(&self) -> Option<u64> {
        let last = self.caches.iter().map(|cache| cache.level).max()?;
        let sizes = self
            .caches
            .iter()
            .filter(|cache| cache.level == last && cache.kind != "Instruction");
        Some(sizes.map(|cache| cache.size_bytes).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_makes_sense() {
        let machine = Machine::detect();
        assert!((1..=machine.logical_cpus).contains(&machine.cpus_allowed));
        assert!((1..=machine.cpus_allowed).contains(&machine.cpus_available));
        assert!(
            machine
                .physical_cores
                .is_none_or(|cores| (1..=machine.logical_cpus).contains(&cores))
        );
        assert_eq!(machine.arch, std::env::consts::ARCH);
        assert!(["avx512", "avx2", "neon", "portable"].contains(&machine.isa.as_str()));
        assert_eq!(
            machine.isa == "avx2" || machine.isa == "avx512",
            machine.features.iter().any(|f| f == "avx2")
                && machine.features.iter().any(|f| f == "fma")
        );
        for cache in &machine.caches {
            assert!(
                (1..=4).contains(&cache.level) && cache.size_bytes >= 1024,
                "{cache:?}"
            );
        }
        if cfg!(target_os = "linux") {
            assert!(machine.memory_bytes.unwrap() > 1 << 26);
            assert!(machine.load_average.unwrap()[0] >= 0.0);
            assert!(machine.kernel.is_some());
        }
    }

    #[test]
    fn fingerprint_keeps_to_what_does_not_change() {
        let machine = Machine::detect();
        let mut later = machine.clone();
        later.load_average = Some([99.0; 3]);
        later.governor = Some("powersave".to_owned());
        (later.cpus_allowed, later.cpus_available) = (1, 1);
        // The kernel keeps a little memory for itself, and not always the same.
        later.memory_bytes = later.memory_bytes.map(|bytes| bytes - 4096);
        assert_eq!(machine.fingerprint(), later.fingerprint());
        later.cpu_model.push('X');
        assert_ne!(machine.fingerprint(), later.fingerprint());
    }

    #[test]
    fn machine_survives_json() {
        let machine = Machine::detect();
        let text = serde_json::to_string(&machine).unwrap();
        assert_eq!(serde_json::from_str::<Machine>(&text).unwrap(), machine);
    }
}
