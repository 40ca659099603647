use super::{Code, Warning};
use crate::machine::CpuTime;
use crate::{Machine, Peak};

/// The load average counts the last minute, our own preparation included; below this excess it is no news.
const LOAD_MARGIN: f64 = 0.5;

/// A change of the peak above this is more than the noise of its measurement, a best of ten.
const PEAK_CHANGE: f64 = 0.05;

/// The share of withheld time above which medians of short calls begin to move.
const STEAL: f64 = 0.01;

/// Doubts about measuring with `threads` threads on this machine in its present state.
pub fn machine_warnings(machine: &Machine, threads: usize) -> Vec<Warning> {
    let cpus = machine.cpus_available;
    let mut found = Vec::new();
    if threads > cpus {
        found.push(Warning::new(
            Code::Oversubscription,
            format!("{threads} threads share {cpus} CPUs, so that they take turns and times depend on the scheduler"),
            format!("Use at most {cpus} threads, or give the process more CPUs (taskset, the CPU limit of the job or container)"),
        ));
    }
    let free = machine.logical_cpus.saturating_sub(threads) as f64;
    if let Some([load, ..]) = machine
        .load_average
        .filter(|load| load[0] > free + LOAD_MARGIN)
    {
        found.push(Warning::new(
            Code::Load,
            format!(
                "the load average is {load:.1} on {} CPUs, which leaves less than the {threads} threads need",
                machine.logical_cpus
            ),
            "Close other programs or wait until the load has fallen, then measure again; compare variants only \
             within the same round",
        ));
    }
    if let Some(governor) = machine
        .governor
        .as_deref()
        .filter(|governor| *governor != "performance")
    {
        found.push(Warning::new(
            Code::Governor,
            format!("the CPU frequency governor is '{governor}', so that the clock follows the load"),
            "Set it with 'sudo cpupower frequency-set -g performance' while measuring, or lengthen the warm-up",
        ));
    }
    found
}

/// A warning when the peak measured after the run differs from the one before by more than 5 %.
///
/// A fall means that the processor throttled or that a neighbour took its share; a rise that it had not
/// been at its clock when the run began. Peaks of different threads or code paths are not compared.
pub fn peak_drift(before: &Peak, after: &Peak) -> Option<Warning> {
    if (before.threads, &before.isa) != (after.threads, &after.isa) {
        return None;
    }
    let change = after.gflops / before.gflops - 1.0;
    if change.is_nan() || change.abs() <= PEAK_CHANGE {
        return None;
    }
    let advice = if change < 0.0 {
        "Let the machine cool down, check its power limits and its neighbours, and measure again with shorter runs; \
         ratios within rounds still hold, shares of the peak do not"
    } else {
        "The clock was still rising, or the machine was busy, when the run began: lengthen the warm-up and measure again"
    };
    Some(Warning::new(
        Code::Throttling,
        format!(
            "the FMA peak went from {:.0} to {:.0} GFLOP/s during the run ({:+.0} %)",
            before.gflops,
            after.gflops,
            change * 100.0
        ),
        advice,
    ))
}

/// A warning when the host of this virtual machine withheld more than 1 % of the CPU time between two readings.
pub fn steal(before: &CpuTime, after: &CpuTime) -> Option<Warning> {
    let share = after.steal_share_since(before)?;
    if share <= STEAL {
        return None;
    }
    Some(Warning::new(
        Code::Steal,
        format!(
            "the host withheld {:.1} % of this virtual machine's CPU time during the run",
            share * 100.0
        ),
        "Its neighbours are busy: measure at another time or on dedicated hosts, and compare within rounds only",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Machine {
        let mut machine = Machine::detect();
        machine.logical_cpus = 8;
        machine.cpus_available = 8;
        machine.load_average = Some([0.2, 9.0, 9.0]);
        machine.governor = None;
        machine
    }

    fn codes(machine: &Machine, threads: usize) -> Vec<Code> {
        machine_warnings(machine, threads)
            .iter()
            .map(|warning| warning.code)
            .collect()
    }

    #[test]
    fn a_quiet_machine_has_no_warnings() {
        assert!(codes(&quiet(), 8).is_empty());
    }

    #[test]
    fn load_counts_when_it_leaves_too_little() {
        let mut machine = quiet();
        machine.load_average = Some([4.0, 0.0, 0.0]);
        assert!(codes(&machine, 4).is_empty());
        assert_eq!(codes(&machine, 6), [Code::Load]);
    }

    #[test]
    fn governor_and_threads_are_named_with_their_remedy() {
        let mut machine = quiet();
        machine.governor = Some("powersave".to_owned());
        machine.cpus_available = 2;
        let found = machine_warnings(&machine, 4);
        assert_eq!(codes(&machine, 4), [Code::Oversubscription, Code::Governor]);
        assert!(found[0].advice.contains("at most 2 threads"));
        assert!(found[1].message.contains("powersave") && found[1].advice.contains("performance"));
        machine.governor = Some("performance".to_owned());
        assert_eq!(codes(&machine, 2), []);
    }

    #[test]
    fn peaks_are_compared_like_with_like() {
        let peak = |gflops, threads| Peak {
            gflops,
            isa: "avx2".to_owned(),
            threads,
        };
        assert_eq!(peak_drift(&peak(100.0, 1), &peak(97.0, 1)), None);
        assert_eq!(peak_drift(&peak(100.0, 1), &peak(190.0, 2)), None);
        let fall = peak_drift(&peak(100.0, 1), &peak(80.0, 1)).unwrap();
        assert!(
            fall.message.contains("(-20 %)") && fall.advice.contains("cool"),
            "{fall}"
        );
        let rise = peak_drift(&peak(100.0, 1), &peak(120.0, 1)).unwrap();
        assert!(rise.advice.contains("warm-up"), "{rise}");
    }

    #[test]
    fn withheld_time_is_told_above_a_hundredth() {
        let at = |total, stolen| CpuTime { total, stolen };
        assert_eq!(steal(&at(1000, 50), &at(3000, 60)), None);
        let warning = steal(&at(1000, 50), &at(3000, 150)).unwrap();
        assert!(warning.message.contains("5.0 %"), "{warning}");
    }
}
