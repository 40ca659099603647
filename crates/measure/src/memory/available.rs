//! Bytes that a process may still take: what the machine has left, and what its control groups allow.

use super::kib_field;
use std::fs;

/// Bytes that this process can still take without swapping or being killed (Linux; `None` elsewhere).
///
/// The least of the kernel's `MemAvailable` and, for the process's control group and each of its
/// parents, limit - usage + reclaimable file pages (cgroup v2 `memory.max`, v1 `memory.limit_in_bytes`).
pub fn available_bytes() -> Option<u64> {
    available(&|path| fs::read_to_string(path).ok())
}

fn available(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = kib_field(&read("/proc/meminfo")?, "MemAvailable")?;
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let headrooms = groups.lines().flat_map(|line| group_headrooms(line, read));
    Some(headrooms.fold(machine, u64::min))
}

struct Files {
    limit: &'static str,
    usage: &'static str,
    reclaimable: &'static str,
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};
const V2: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: "inactive_file",
};

/// The headroom of one line `id:controllers:path` of `/proc/self/cgroup` and of the path's parents.
fn group_headrooms(line: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
        return Vec::new();
    };
    let (mounts, files): (&[&str], _) = if controllers.is_empty() {
        (&["/sys/fs/cgroup", "/sys/fs/cgroup/unified"], V2)
    } else if controllers.split(',').any(|name| name == "memory") {
        (&["/sys/fs/cgroup/memory"], V1)
    } else {
        return Vec::new();
    };
    // In a container the path may be the host's while the mount shows the group as its root, so the walk
    // goes up to the mount and skips what is not there.
    let mut found = Vec::new();
    let mut group = path.trim_end_matches('/');
    loop {
        for mount in mounts {
            found.extend(headroom(&format!("{mount}{group}"), &files, read));
        }
        let Some(parent) = group.rfind('/') else {
            return found;
        };
        group = &group[..parent];
    }
}

fn headroom(folder: &str, files: &Files, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let number = |name: &str| {
        read(&format!("{folder}/{name}"))?
            .trim()
            .parse::<u64>()
            .ok()
    };
    // `max` in v2 means no limit and does not parse; v1 writes a huge number instead.
    let limit = number(files.limit)?;
    let usage = number(files.usage).unwrap_or(0);
    let stat = read(&format!("{folder}/memory.stat")).unwrap_or_default();
    let reclaimable = stat
        .lines()
        .find_map(|line| {
            line.strip_prefix(files.reclaimable)?
                .strip_prefix(' ')?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0);
    Some(
        limit
            .saturating_sub(usage)
            .saturating_add(reclaimable)
            .min(limit),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)]) -> Option<u64> {
        available(&|path| files.iter().find(|f| f.0 == path).map(|f| f.1.to_owned()))
    }
    const MEMINFO: (&str, &str) = (
        "/proc/meminfo",
        "MemTotal: 4000 kB\nMemAvailable:    3000 kB\n",
    );

    #[test]
    fn without_groups_the_kernel_decides() {
        assert_eq!(with(&[MEMINFO]), Some(3000 * 1024));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn the_tightest_v2_ancestor_decides() {
        let files = [
            MEMINFO,
            ("/proc/self/cgroup", "0::/slice/job\n"),
            ("/sys/fs/cgroup/slice/job/memory.max", "max\n"),
            ("/sys/fs/cgroup/slice/memory.max", "1000000\n"),
            ("/sys/fs/cgroup/slice/memory.current", "700000\n"),
            (
                "/sys/fs/cgroup/slice/memory.stat",
                "anon 5\ninactive_file 50000\n",
            ),
        ];
        assert_eq!(with(&files), Some(350_000));
    }

    #[test]
    fn a_v1_limit_seen_at_the_mount_root_counts() {
        let files = [
            MEMINFO,
            (
                "/proc/self/cgroup",
                "5:cpu,cpuacct:/\n4:memory:/docker/abc\n",
            ),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "500000\n"),
        ];
        assert_eq!(with(&files), Some(1_500_000));
    }

    #[test]
    fn no_limit_in_v1_leaves_the_kernel_to_decide() {
        let files = [
            MEMINFO,
            ("/proc/self/cgroup", "4:memory:/\n"),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ];
        assert_eq!(with(&files), Some(3000 * 1024));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_some() {
        assert!(available_bytes().unwrap() > 1 << 20);
    }
}
