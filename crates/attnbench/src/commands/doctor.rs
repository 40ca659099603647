//! `doctor`: is this machine fit for measuring?

use crate::failure::Failure;
use crate::output;
use clap::Args;
use measure::machine::{CpuTime, available_cpus};
use measure::{Bandwidth, Machine, Peak, Warning, warnings};
use serde::Serialize;

/// Look at this machine: is it fit for measuring?
///
/// Shows processor, instruction sets, caches, memory and governor, measures the multiply-add peak (of f32, and of
/// bf16 and int8 where there are dot products of them) for one thread and for all, and the memory bandwidth, and
/// warns of what makes times doubtful, with what to do about it. Takes a few seconds. Doubts are no failure: the
/// exit code is 0.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Findings {
    machine: Machine,
    fingerprint: String,
    placement: String,
    available_bytes: Option<u64>,
    allocations_counted: bool,
    peaks: Vec<Peak>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bf16_peaks: Vec<Peak>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    int8_peaks: Vec<Peak>,
    bandwidth: Vec<Bandwidth>,
    warnings: Vec<Warning>,
}

impl Doctor {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let findings = Findings::gather();
        if self.json {
            let value = serde_json::to_value(&findings)
                .map_err(|error| Failure::work(format!("no JSON: {error}"), None))?;
            return output::json(&value);
        }
        output::line(findings.text())
    }
}

impl Findings {
    fn gather() -> Self {
        // Before our own measurements load it.
        let machine = Machine::detect();
        let all = available_cpus();
        let mut counts = vec![1, all];
        counts.dedup();
        let before = CpuTime::now();
        let peaks: Vec<_> = counts.iter().map(|&n| measure::fma_peak(n)).collect();
        let narrow = |peak: fn(usize) -> Option<Peak>| -> Vec<_> {
            counts.iter().filter_map(|&n| peak(n)).collect()
        };
        let (bf16_peaks, int8_peaks) = (narrow(measure::bf16_peak), narrow(measure::int8_peak));
        let bandwidth = counts
            .iter()
            .map(|&n| measure::memory_bandwidth(n))
            .collect();
        let mut doubts = warnings::machine_warnings(&machine, all);
        doubts.extend(
            peaks
                .last()
                .and_then(|first| warnings::peak_drift(first, &measure::fma_peak(all))),
        );
        if let (Some(before), Some(after)) = (before, CpuTime::now()) {
            doubts.extend(warnings::steal(&before, &after));
        }
        Self {
            fingerprint: machine.fingerprint(),
            placement: measure::placement(),
            available_bytes: measure::memory::available_bytes(),
            allocations_counted: measure::memory::is_installed(),
            peaks,
            bf16_peaks,
            int8_peaks,
            bandwidth,
            warnings: doubts,
            machine,
        }
    }

    fn text(&self) -> String {
        let machine = &self.machine;
        let unknown = || "unknown".to_owned();
        let size = |bytes: Option<u64>| bytes.map_or_else(unknown, output::bytes);
        let cores = machine
            .physical_cores
            .map_or_else(unknown, |n| n.to_string());
        let cores = format!(
            "{cores} cores, {} CPUs, {} available",
            machine.logical_cpus, machine.cpus_available
        );
        let governor = machine
            .governor
            .clone()
            .unwrap_or_else(|| "none seen".into());
        let virtual_machine = match machine.hypervisor {
            Some(true) => ", virtual machine",
            _ => "",
        };
        let kernel = machine.kernel.clone().unwrap_or_default();
        let mut lines = vec![
            ("processor", machine.cpu_model.clone()),
            ("CPUs", cores),
            (
                "ISA",
                format!("{} ({})", machine.isa, machine.features.join(" ")),
            ),
            ("caches", self.caches()),
            (
                "memory",
                format!(
                    "{}, {} available",
                    size(machine.memory_bytes),
                    size(self.available_bytes)
                ),
            ),
            (
                "system",
                format!("{} {kernel}{virtual_machine}", machine.os),
            ),
            ("governor", governor),
            ("threads", self.placement.clone()),
        ];
        for (name, unit, peaks) in [
            ("FMA peak", "GFLOP/s", &self.peaks),
            ("bf16 peak", "GFLOP/s", &self.bf16_peaks),
            ("int8 peak", "GOP/s", &self.int8_peaks),
        ] {
            for peak in peaks {
                let threads = output::threads(peak.threads);
                lines.push((name, format!("{:.0} {unit}, {threads}", peak.gflops)));
            }
        }
        for b in &self.bandwidth {
            let rates = format!(
                "{:.1} GB/s read, {:.1} GB/s triad",
                b.read_gb_s, b.triad_gb_s
            );
            lines.push((
                "bandwidth",
                format!("{rates}, {}", output::threads(b.threads)),
            ));
        }
        let mut text: Vec<_> = lines
            .into_iter()
            .map(|(key, value)| format!("{key:<10} {value}"))
            .collect();
        if self.warnings.is_empty() {
            text.push("\nNothing speaks against measuring here.".into());
        } else {
            text.push("\nTimes measured here deserve doubt:".into());
        }
        for warning in &self.warnings {
            text.push(format!(
                "  {}: {}\n    -> {}",
                warning.code, warning.message, warning.advice
            ));
        }
        text.join("\n")
    }

    fn caches(&self) -> String {
        let data = self
            .machine
            .caches
            .iter()
            .filter(|cache| cache.kind != "Instruction");
        let mut alike: Vec<(String, usize)> = Vec::new();
        for cache in data {
            let name = format!("L{} {} KiB", cache.level, cache.size_bytes >> 10);
            match alike.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => alike.push((name, 1)),
            }
        }
        let texts: Vec<_> = alike
            .iter()
            .map(|(name, count)| format!("{count} x {name}"))
            .collect();
        if texts.is_empty() {
            "unknown".into()
        } else {
            texts.join(", ")
        }
    }
}
