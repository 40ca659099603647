use std::fs;

/// CPU time spent by all CPUs since boot, in the kernel's ticks (usually 10 ms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTime {
    /// All of it, idle included.
    pub total: u64,
    /// What the host gave to others while this virtual machine wanted to run.
    pub stolen: u64,
}

impl CpuTime {
    /// The counters now (Linux `/proc/stat`; `None` elsewhere).
    pub fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// Share of the CPU time since `earlier` that the host withheld; `None` when no time has passed.
    pub fn steal_share_since(&self, earlier: &Self) -> Option<f64> {
        let total = self
            .total
            .checked_sub(earlier.total)
            .filter(|&ticks| ticks > 0)?;
        Some(self.stolen.saturating_sub(earlier.stolen) as f64 / total as f64)
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user nice system idle iowait irq softirq steal; the guest times after them are part of user and nice.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .take(8)
            .map_while(|word| word.parse().ok())
            .collect();
        Some(Self {
            total: ticks.iter().sum(),
            stolen: *ticks.get(7)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_counter_and_guests_are_not_counted_twice() {
        let stat = "cpu  100 1 50 800 9 2 3 35 77 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(
            CpuTime::parse(stat),
            Some(CpuTime {
                total: 1000,
                stolen: 35
            })
        );
        assert_eq!(CpuTime::parse("cpu  1 2 3 4\n"), None);
    }

    #[test]
    fn shares_are_of_the_time_between() {
        let (before, after) = (
            CpuTime {
                total: 1000,
                stolen: 35,
            },
            CpuTime {
                total: 1200,
                stolen: 45,
            },
        );
        assert_eq!(after.steal_share_since(&before), Some(0.05));
        assert_eq!(before.steal_share_since(&before), None);
        assert_eq!(before.steal_share_since(&after), None);
    }
}
