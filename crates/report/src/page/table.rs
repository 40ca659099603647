//! The table of all cells.

use crate::findings::status_words;
use crate::numbers;
use crate::settings::{Setting, Settings, is_measured};
use experiment::record::Record;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Table {
    pub(super) columns: Vec<Heading>,
    pub(super) rows: Vec<Vec<Cell>>,
}

#[derive(Serialize)]
pub(super) struct Heading {
    name: &'static str,
    explain: &'static str,
    number: bool,
}

/// What is shown, and what is sorted by.
#[derive(Serialize, Clone)]
pub(super) struct Cell {
    text: String,
    value: Option<f64>,
    class: &'static str,
}

fn text(text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        value: None,
        class: "",
    }
}

/// A number, or an empty cell.
fn number(value: Option<f64>, show: impl Fn(f64) -> String) -> Cell {
    let value = value.filter(|v| v.is_finite());
    Cell {
        text: value.map(show).unwrap_or_default(),
        value,
        class: "number",
    }
}

type Show = fn(&Settings, &Setting, &Record) -> Cell;

/// Heading, explanation, whether numeric, content. Columns empty in every row are not shown.
const COLUMNS: [(&str, &str, bool, Show); 19] = [
    (
        "Workload",
        "What sets the row's setting apart, save its length",
        false,
        |all, s, _| text(all.condition_label(&s.condition)),
    ),
    ("N", "Keys: the length of the history", true, |_, s, _| {
        number(Some(s.nk as f64), |n| format!("{n}"))
    }),
    (
        "Variant",
        "Name and the parameters that differ",
        false,
        |_, _, r| text(r.variant.label.clone()),
    ),
    ("Status", "How the cell ended", false, |_, _, r| Cell {
        class: if is_measured(r) {
            "status-ok"
        } else {
            "status-bad"
        },
        ..text(status_words(r))
    }),
    (
        "Median",
        "Median latency of one call, and its 95 % interval",
        true,
        |_, _, r| {
            let latency = r.latency.as_ref();
            let interval = latency.map_or((0.0, 0.0), |l| l.interval_ms);
            number(latency.map(|l| l.median_ms), |ms| {
                numbers::duration_with_interval(ms, interval)
            })
        },
    ),
    (
        "Prepare",
        "Median time of absorbing keys and values, once a history",
        true,
        |_, _, r| {
            number(r.prepare.map(|p| p.median_ms), |ms| {
                numbers::duration_with_interval(ms, r.prepare.map_or((ms, ms), |p| p.interval_ms))
            })
        },
    ),
    ("p99", "99th percentile of latency", true, |_, _, r| {
        number(r.latency.as_ref().map(|l| l.p99_ms), numbers::duration)
    }),
    (
        "Speed-up",
        "Over the group's baseline, within rounds; above 1 is faster",
        true,
        |_, _, r| {
            let gain = r.latency.as_ref().and_then(|l| l.speedup.as_ref());
            let interval = gain.map_or((0.0, 0.0), |s| s.interval);
            number(gain.map(|s| s.median), |median| {
                numbers::speedup(median, interval)
            })
        },
    ),
    (
        "Error",
        "Relative Frobenius error against exact attention in double precision",
        true,
        |_, _, r| {
            number(
                r.accuracy.as_ref().map(|a| a.total.relative_frobenius),
                numbers::error,
            )
        },
    ),
    (
        "Gradient error",
        "The largest relative Frobenius error of dQ, dK and dV against gradients in double precision",
        true,
        |_, _, r| {
            let largest = r.gradients.map(|g| g.dq.max(g.dk).max(g.dv));
            number(largest, numbers::error)
        },
    ),
    (
        "Skill",
        "1: exact, 0: no better than averaging the values",
        true,
        |_, _, r| {
            number(r.accuracy.as_ref().map(|a| a.total.skill), |v| {
                numbers::significant(v, 3)
            })
        },
    ),
    (
        "Top-10 overlap",
        "Share of the ten heaviest keys found",
        true,
        |_, _, r| {
            number(
                r.accuracy.as_ref().and_then(|a| a.top10_overlap),
                numbers::percent,
            )
        },
    ),
    (
        "Missed mass",
        "Weight on keys that the variant leaves out",
        true,
        |_, _, r| {
            number(
                r.accuracy.as_ref().and_then(|a| a.missed_mass),
                numbers::percent,
            )
        },
    ),
    (
        "Mask sparsity",
        "Share of visible pairs not computed",
        true,
        |_, _, r| number(Some(r.mask_sparsity), numbers::percent),
    ),
    (
        "Entropy η",
        "Mean of exp(H) over the number of visible keys, of the problem",
        true,
        |_, _, r| {
            number(r.problem.as_ref().map(|p| p.entropy), |v| {
                numbers::significant(v, 3)
            })
        },
    ),
    (
        "κ₉₀",
        "Share of the keys that holds 90 % of the weight",
        true,
        |_, _, r| number(r.problem.as_ref().map(|p| p.kappa_90), numbers::percent),
    ),
    (
        "Peak memory",
        "Beside inputs and output: measured",
        true,
        |_, _, r| {
            let peak = r.memory.as_ref().and_then(|m| m.peak_bytes);
            number(peak.map(|b| b as f64), numbers::bytes)
        },
    ),
    ("GFLOP/s", "By the predicted operations", true, |_, _, r| {
        number(r.latency.as_ref().map(|l| l.gflops), |v| {
            numbers::significant(v, 3)
        })
    }),
    (
        "Notes",
        "Why a cell has no time, and what makes a time doubtful",
        false,
        |_, _, r| {
            let reason = r.reason.iter().cloned();
            let doubts = r.warnings.iter().map(|w| w.code.as_str().to_string());
            let notes: Vec<String> = reason.chain(doubts).collect();
            Cell {
                class: "wide",
                ..text(notes.join("; "))
            }
        },
    ),
];

/// A row for each record, in the order of the settings.
pub(super) fn table(settings: &Settings) -> Table {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for setting in &settings.all {
        for record in &setting.records {
            rows.push(
                COLUMNS
                    .iter()
                    .map(|(_, _, _, show)| show(settings, setting, record))
                    .collect(),
            );
        }
    }
    let kept: Vec<usize> = (0..COLUMNS.len())
        .filter(|&i| rows.iter().any(|row| !row[i].text.is_empty()))
        .collect();
    Table {
        columns: kept
            .iter()
            .map(|&i| Heading {
                name: COLUMNS[i].0,
                explain: COLUMNS[i].1,
                number: COLUMNS[i].2,
            })
            .collect(),
        rows: rows
            .into_iter()
            .map(|row| kept.iter().map(|&i| row[i].clone()).collect())
            .collect(),
    }
}
