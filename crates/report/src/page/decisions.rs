//! The table of what to take.

use crate::findings::{Choice, Findings};
use crate::numbers;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Decision {
    title: String,
    /// The fastest exact variant, then a choice a level.
    choices: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    label: Option<String>,
    details: Vec<String>,
    ties: Option<String>,
}

/// A row for each setting in which anything was measured.
pub(super) fn decisions(findings: &Findings) -> Vec<Decision> {
    let worth = findings.settings.iter().filter(|s| s.measured > 0);
    worth
        .map(|setting| {
            let exact = match &setting.exact {
                Some(choice) => shown(
                    choice,
                    [numbers::duration_with_interval(
                        choice.latency_ms,
                        choice.interval_ms,
                    )],
                ),
                None => none("none measured"),
            };
            let levels = setting.levels.iter().map(|(_, choice)| match choice {
                Some(choice) => {
                    let gain = match choice.speedup {
                        Some((median, interval)) => {
                            format!("{} faster", numbers::speedup(median, interval))
                        }
                        None => numbers::duration(choice.latency_ms),
                    };
                    let error = format!("{} error", numbers::error(choice.error));
                    shown(choice, [error, gain])
                }
                None if setting.approximations == 0 => none("no approximation measured"),
                None if setting.exact.is_some() => none("stay exact"),
                None => none("none accurate enough"),
            });
            Decision {
                title: setting.title.clone(),
                choices: std::iter::once(exact).chain(levels).collect(),
            }
        })
        .collect()
}

fn shown<const N: usize>(choice: &Choice, details: [String; N]) -> Shown {
    Shown {
        label: Some(choice.label.clone()),
        details: details.into(),
        ties: (!choice.ties.is_empty())
            .then(|| format!("as fast: {}", numbers::list(&choice.ties))),
    }
}

fn none(detail: &str) -> Shown {
    Shown {
        label: None,
        details: vec![detail.into()],
        ties: None,
    }
}
