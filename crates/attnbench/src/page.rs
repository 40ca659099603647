//! From a run to its page: what the manifest tells the report, and the words that end a command.

use crate::failure::Failure;
use crate::output;
use experiment::store::Session;
use experiment::{Manifest, RunDir, experiments};
use measure::Machine;
use report::{Context, headline, write_report};

/// Draws charts and page, prints the findings and where the page is.
pub(crate) fn present(run: &RunDir) -> Result<(), Failure> {
    let files = write_report(&run.path, &run.records, &context(&run.manifest))?;
    for sentence in headline(&run.records) {
        output::line(sentence)?;
    }
    let page = files.page.canonicalize().unwrap_or(files.page);
    output::line(format_args!(
        "\nOpen this file in a browser: {}",
        page.display()
    ))
}

fn context(manifest: &Manifest) -> Context {
    let identity = &manifest.code;
    let dirty = if identity.git_dirty {
        ", changed since"
    } else {
        ""
    };
    let revision = match identity.git_revision.as_str() {
        "" => String::new(),
        revision => format!(" (git {revision}{dirty})"),
    };
    let warnings = manifest.sessions.iter().flat_map(|s| &s.warnings);
    let mut doubts: Vec<String> = warnings.map(ToString::to_string).collect();
    doubts.sort();
    doubts.dedup();
    Context {
        experiment: manifest.experiment.clone(),
        question: manifest.question.clone(),
        config_toml: manifest.config_given.clone(),
        machine: machine(&manifest.machine, manifest.sessions.last()),
        code: format!("{}{revision}, {}", identity.identity, identity.profile),
        started: manifest
            .sessions
            .first()
            .map_or_else(String::new, |s| date(s.started)),
        warnings: doubts,
        command: command(manifest),
    }
}

/// The command that repeats the run.
fn command(manifest: &Manifest) -> String {
    let embedded = experiments()
        .iter()
        .find(|e| e.text == manifest.config_given);
    let config = embedded.map_or_else(
        || format!("{}.toml", manifest.experiment),
        |e| e.name.into(),
    );
    let sets = manifest.overrides.iter();
    let sets: String = sets
        .map(|set| format!(" --set '{}'", set.replace('\'', "'\\''")))
        .collect();
    format!("attnbench run {config}{sets}")
}

fn machine(machine: &Machine, session: Option<&Session>) -> Vec<(String, String)> {
    let unknown = || "unknown".to_owned();
    let cores = machine
        .physical_cores
        .map_or_else(unknown, |n| n.to_string());
    let mut rows = vec![
        ("Processor", machine.cpu_model.clone()),
        (
            "Cores",
            format!("{cores}, {} CPUs available", machine.cpus_available),
        ),
        (
            "Instruction sets",
            format!("{} ({})", machine.isa, machine.features.join(" ")),
        ),
        (
            "Memory",
            machine.memory_bytes.map_or_else(unknown, output::bytes),
        ),
        ("System", machine.os.clone()),
        (
            "Governor",
            machine
                .governor
                .clone()
                .unwrap_or_else(|| "none seen".into()),
        ),
    ];
    if let Some(session) = session {
        rows.push(("Threads", session.placement.clone()));
        for rate in &session.rates {
            let (peak, read) = (rate.peak.gflops, rate.bandwidth.read_gb_s);
            let narrow: String = [("bf16", &rate.bf16), ("int8", &rate.int8)]
                .into_iter()
                .filter_map(|(name, peak)| Some((name, peak.as_ref()?.gflops)))
                .map(|(name, peak)| format!(", {peak:.0} in {name}"))
                .collect();
            let best = format!(
                "{peak:.0} GFLOP/s in f32{narrow}; {read:.1} GB/s read; {}",
                output::threads(rate.threads)
            );
            rows.push(("Peak", best));
        }
    }
    rows.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Unix seconds as `2026-03-01 12:00 UTC`, by Hinnant's `civil_from_days`.
fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3600, second % 3600 / 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    #[test]
    fn seconds_become_dates() {
        assert_eq!(super::date(0), "1970-01-01 00:00 UTC");
        assert_eq!(super::date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(super::date(1_767_225_599), "2025-12-31 23:59 UTC");
    }
}
