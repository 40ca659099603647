//! How many CPUs there are, and how many of them this process may use.

use std::fs;
use std::ops::RangeInclusive;

/// CPUs that the process can keep busy: those it is allowed, within its CPU quota. At least 1.
pub fn available_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// CPUs that the process may run on by affinity; where the system does not tell, [`available_cpus`].
pub fn cpus_allowed() -> usize {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| allowed_in(&status))
        .unwrap_or_else(available_cpus)
}

/// CPUs that the system schedules on; where it does not tell, [`available_cpus`].
pub fn logical_cpus() -> usize {
    fs::read_to_string("/sys/devices/system/cpu/online")
        .ok()
        .and_then(|list| count(&list))
        .unwrap_or_else(available_cpus)
        .max(cpus_allowed())
}

fn allowed_in(status: &str) -> Option<usize> {
    count(
        status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?,
    )
}

/// CPUs in a kernel list such as `0-3,8,10-11`; `None` when it is none.
fn count(list: &str) -> Option<usize> {
    let cpus = parse_list(list)?
        .into_iter()
        .map(|range| range.count())
        .sum();
    (cpus > 0).then_some(cpus)
}

/// The ranges of a kernel list such as `0-3,8,10-11`; `None` when it is malformed.
pub(crate) fn parse_list(list: &str) -> Option<Vec<RangeInclusive<usize>>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(first..=last)
    };
    list.trim().split(',').map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lists_are_counted() {
        assert_eq!(count("0-3,8,10-11\n"), Some(7));
        assert_eq!(count("0"), Some(1));
        assert_eq!(count(""), None);
        assert_eq!(count("3-1"), None);
    }

    #[test]
    fn affinity_is_read_from_the_status() {
        let status =
            "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\nMems_allowed_list:\t0\n";
        assert_eq!(allowed_in(status), Some(8));
        assert_eq!(allowed_in("Name:\tx\n"), None);
    }
}
