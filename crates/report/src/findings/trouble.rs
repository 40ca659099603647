//! Cells without a time: how many, which, and why.

use crate::numbers::{count, list};
use crate::settings::{Setting, Settings, is_measured};
use experiment::record::{Record, Status};
use serde::Serialize;
use std::collections::BTreeMap;

/// Cells of one variant that ended in the same way for the same reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trouble {
    /// The variant's label.
    pub label: String,
    /// How they ended, in words: `out of memory`.
    pub status: &'static str,
    /// Why.
    pub reason: String,
    /// How many cells.
    pub cells: usize,
    /// At which settings: `N = 16384`.
    pub settings: Vec<String>,
    /// The settings in words, long lists cut short.
    pub place: String,
}

/// How a cell ended, in words.
pub(crate) fn status_words(record: &Record) -> &'static str {
    match record.status {
        Status::Ok if is_measured(record) => "ok",
        Status::Ok => "no time",
        Status::Unsupported => "unsupported",
        Status::Failed => "failed",
        Status::Timeout => "timed out",
        Status::OutOfMemory => "out of memory",
    }
}

fn reason(record: &Record) -> String {
    match &record.reason {
        Some(reason) if !reason.trim().is_empty() => reason.clone(),
        _ => "no reason was recorded".into(),
    }
}

fn unmeasured<'s, 'a>(
    settings: &'s Settings<'a>,
) -> impl Iterator<Item = (&'s Setting<'a>, &'a Record)> {
    settings
        .all
        .iter()
        .flat_map(|s| s.records.iter().map(move |r| (s, *r)))
        .filter(|(_, r)| !is_measured(r))
}

/// The cells without a time, grouped by status, variant and reason.
pub(crate) fn troubles(settings: &Settings) -> Vec<Trouble> {
    let all = settings.all.len();
    let mut groups: BTreeMap<(&str, &str, String), Vec<String>> = BTreeMap::new();
    for (setting, record) in unmeasured(settings) {
        groups
            .entry((status_words(record), &record.variant.label, reason(record)))
            .or_default()
            .push(settings.setting_label(setting));
    }
    groups
        .into_iter()
        .map(|((status, label, reason), settings)| Trouble {
            label: label.into(),
            status,
            reason,
            cells: settings.len(),
            place: place(&settings, all),
            settings,
        })
        .collect()
}

/// `all 14 settings`, or the first few by name.
fn place(settings: &[String], all: usize) -> String {
    const NAMED: usize = 4;
    if settings.len() == all && all > 1 {
        return format!("all {all} settings");
    }
    let named = settings[..settings.len().min(NAMED)].join("; ");
    match settings.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// `3 of 52 cells have no time: 2 unsupported, 1 timed out.`; empty where all have.
pub(crate) fn summary(settings: &Settings) -> String {
    let total: usize = settings.all.iter().map(|s| s.records.len()).sum();
    let mut by_status: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, record) in unmeasured(settings) {
        *by_status.entry(status_words(record)).or_default() += 1;
    }
    let without: usize = by_status.values().sum();
    if without == 0 {
        return String::new();
    }
    let parts: Vec<String> = by_status
        .iter()
        .map(|(status, n)| format!("{n} {status}"))
        .collect();
    let have = if without == 1 { "has" } else { "have" };
    format!(
        "{without} of {} {have} no time: {}.",
        count(total, "cell"),
        list(&parts)
    )
}
