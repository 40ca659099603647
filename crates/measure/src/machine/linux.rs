//! The machine as Linux tells it in `/proc` and `/sys`; elsewhere every read fails and the facts are absent.

use super::{Cache, Machine, cpus, features, isa};
use crate::memory::kib_field;
use std::collections::BTreeSet;
use std::fs;

const CPUS: &str = "/sys/devices/system/cpu";

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

pub(super) fn detect() -> Machine {
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let meminfo = read("/proc/meminfo").unwrap_or_default();
    let text = |name: &str| info_field(&cpuinfo, name).map(str::to_owned);
    let number = |name: &str| info_field(&cpuinfo, name)?.parse().ok();
    let unknown = || "unknown".to_owned();
    let cpus = online_cpus();
    Machine {
        cpu_model: text("model name").unwrap_or_else(unknown),
        vendor: text("vendor_id")
            .or_else(|| text("CPU implementer"))
            .unwrap_or_else(unknown),
        family: number("cpu family"),
        model: number("model"),
        stepping: number("stepping"),
        logical_cpus: cpus::logical_cpus(),
        physical_cores: physical_cores(&cpus),
        cpus_allowed: cpus::cpus_allowed(),
        cpus_available: cpus::available_cpus(),
        arch: std::env::consts::ARCH.to_owned(),
        features: features().into_iter().map(str::to_owned).collect(),
        isa: isa().to_owned(),
        caches: caches(&cpus),
        governor: read(&format!("{CPUS}/cpu0/cpufreq/scaling_governor")),
        memory_bytes: kib_field(&meminfo, "MemTotal"),
        os: read("/etc/os-release")
            .and_then(|text| os_name(&text))
            .unwrap_or_else(|| std::env::consts::OS.to_owned()),
        kernel: read("/proc/sys/kernel/osrelease"),
        hypervisor: hypervisor(&cpuinfo),
        load_average: read("/proc/loadavg").and_then(|text| load_average(&text)),
    }
}

/// The value of the first line `name : value` of `/proc/cpuinfo`.
fn info_field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn os_name(os_release: &str) -> Option<String> {
    let name = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// The `hypervisor` flag that x86 guests see; other architectures have no such flag.
fn hypervisor(cpuinfo: &str) -> Option<bool> {
    Some(
        info_field(cpuinfo, "flags")?
            .split_whitespace()
            .any(|flag| flag == "hypervisor"),
    )
}

fn load_average(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

fn online_cpus() -> Vec<usize> {
    let list = read(&format!("{CPUS}/online")).unwrap_or_default();
    cpus::parse_list(&list)
        .unwrap_or_default()
        .into_iter()
        .flatten()
        .collect()
}

fn physical_cores(cpus: &[usize]) -> Option<usize> {
    let siblings = |cpu: &usize| {
        let topology = format!("{CPUS}/cpu{cpu}/topology");
        read(&format!("{topology}/core_cpus_list"))
            .or_else(|| read(&format!("{topology}/thread_siblings_list")))
    };
    let cores: BTreeSet<String> = cpus.iter().filter_map(siblings).collect();
    (!cores.is_empty()).then_some(cores.len())
}

fn caches(cpus: &[usize]) -> Vec<Cache> {
    // Each CPU lists its own view; a shared cache appears in several and counts once.
    let mut seen = BTreeSet::new();
    for cpu in cpus {
        for index in 0..8 {
            let folder = format!("{CPUS}/cpu{cpu}/cache/index{index}");
            let Some(cache) = cache(&folder) else {
                break;
            };
            seen.insert(cache);
        }
    }
    seen.into_iter()
        .map(|(level, kind, shared_cpus, size_bytes)| Cache {
            level,
            kind,
            size_bytes,
            shared_cpus,
        })
        .collect()
}

fn cache(folder: &str) -> Option<(u8, String, String, u64)> {
    let field = |name: &str| read(&format!("{folder}/{name}"));
    Some((
        field("level")?.parse().ok()?,
        field("type")?,
        field("shared_cpu_list")?,
        size(&field("size")?)?,
    ))
}

/// Bytes in a kernel size such as `48K`.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n\
        model name\t: Intel(R) Xeon(R) Platinum\nflags\t\t: fpu hypervisor avx2\n\nprocessor\t: 1\nmodel\t: 9\n";

    #[test]
    fn cpuinfo_names_are_matched_whole() {
        assert_eq!(info_field(CPUINFO, "model"), Some("143"));
        assert_eq!(
            info_field(CPUINFO, "model name"),
            Some("Intel(R) Xeon(R) Platinum")
        );
        assert_eq!(info_field(CPUINFO, "stepping"), None);
    }

    #[test]
    fn a_guest_is_told_from_a_host() {
        assert_eq!(hypervisor(CPUINFO), Some(true));
        assert_eq!(hypervisor("flags : fpu avx2"), Some(false));
        assert_eq!(hypervisor("Features : asimd"), None);
    }

    #[test]
    fn kernel_notations_are_read() {
        assert_eq!(size("48K"), Some(49152));
        assert_eq!(size("32M"), Some(32 << 20));
        assert_eq!(size("7"), Some(7));
        assert_eq!(size("x"), None);
        assert_eq!(
            load_average("0.22 0.06 0.01 3/106 2981"),
            Some([0.22, 0.06, 0.01])
        );
        assert_eq!(load_average("0.22"), None);
        assert_eq!(
            os_name("ID=x\nPRETTY_NAME=\"Some Linux 1\"\n").as_deref(),
            Some("Some Linux 1")
        );
    }
}
