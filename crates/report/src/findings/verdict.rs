//! What a newcomer reads first: which attention to use for which length.

use super::setting::{Choice, Level, SettingFinding};
use crate::numbers::{self, list, significant};
use crate::settings::{Setting, Settings};
use serde::Serialize;

/// The accuracy that the verdict asks for.
const ENOUGH: Level = Level::Error(0.1);

/// The accuracy worth a mention where nothing reaches [`ENOUGH`].
const LENIENT: Level = Level::Skill(0.9);

/// What to take in the settings of one workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// The workload, as far as it needs a name: `interest clusters, measured entropy η ≈ 0.28`; may be empty.
    pub title: String,
    /// A line for neighbouring settings with the same choice: `N = 256: stay exact (blocked, 157 µs).`
    pub lines: Vec<String>,
}

/// The answer in a sentence.
pub(crate) fn verdict(found: &[SettingFinding]) -> Vec<String> {
    if found.is_empty() {
        return vec!["There are no records: nothing was run.".into()];
    }
    if found.iter().all(|f| f.measured == 0) {
        return vec![
            "No cell was measured: every one ended without a time, for the reasons listed.".into(),
        ];
    }
    overall(found).into_iter().collect()
}

/// For each workload where to stay exact, and what to take elsewhere.
pub(crate) fn advice(settings: &Settings, found: &[SettingFinding]) -> Vec<Advice> {
    stories(settings, found)
        .into_iter()
        .map(|(label, along, members)| Advice {
            title: story_title(label, &members),
            lines: members
                .chunk_by(|a, b| action(a) == action(b))
                .map(|run| run_line(run, along))
                .collect(),
        })
        .collect()
}

/// What a sentence runs along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Along {
    Length,
    /// The entropy asked for, at one length.
    Entropy,
}

/// The settings that one sentence tells of, and what sets them apart from those of the others.
fn stories<'f>(
    settings: &Settings,
    found: &'f [SettingFinding],
) -> Vec<(String, Along, Vec<&'f SettingFinding>)> {
    let lengths_vary = found.iter().any(|f| f.length != found[0].length);
    let key = |setting: &Setting| {
        if lengths_vary {
            setting.condition.clone()
        } else {
            setting.condition.without_entropy()
        }
    };
    settings
        .grouped(key)
        .into_iter()
        .filter_map(|(condition, list)| {
            let several = !lengths_vary && list.len() > 1;
            let along = if several {
                Along::Entropy
            } else {
                Along::Length
            };
            // A group of one keeps its entropy in its name.
            let label = match list.as_slice() {
                [only] => settings.condition_label(&only.condition),
                _ => settings.condition_label(&condition),
            };
            let members: Vec<&SettingFinding> = settings
                .all
                .iter()
                .zip(found)
                .filter(|(s, f)| f.measured > 0 && list.iter().any(|l| std::ptr::eq(*l, *s)))
                .map(|(_, f)| f)
                .collect();
            (!members.is_empty()).then_some((label, along, members))
        })
        .collect()
}

/// In how many settings an approximation within 10 % error is faster than exact attention, of how many in
/// which both were measured.
pub(crate) fn tally(found: &[SettingFinding]) -> (usize, usize) {
    let judged = || {
        found
            .iter()
            .filter(|f| f.exact.is_some() && f.approximations > 0)
    };
    let won = judged().filter(|f| f.at(ENOUGH).is_some()).count();
    (won, judged().count())
}

/// The answer in one sentence, where there was something to choose from.
fn overall(found: &[SettingFinding]) -> Option<String> {
    let (won, all) = tally(found);
    if all == 0 {
        return None;
    }
    Some(match won {
        0 if all == 1 => {
            "Stay exact: no approximation within 10 % error is faster than the fastest exact attention.".into()
        }
        1 if all == 1 => {
            "Approximate: an approximation within 10 % error is faster than the fastest exact attention.".into()
        }
        0 => format!(
            "Stay exact: in none of the {all} settings is an approximation within 10 % error faster than the fastest exact attention."
        ),
        n if n == all => format!(
            "Approximate: in {} an approximation within 10 % error is faster than the fastest exact attention.",
            if all == 2 {
                "both settings".to_string()
            } else {
                format!("all {all} settings")
            }
        ),
        n => format!(
            "It depends on the setting: in {n} of {all} an approximation within 10 % error is faster than the fastest exact attention; in the others stay exact."
        ),
    })
}

/// What to do at one length.
#[derive(Debug, PartialEq)]
enum Action<'a> {
    /// The label, of an approximation within [`ENOUGH`].
    Take(&'a str),
    /// The label of the fastest exact variant.
    Stay(&'a str),
    /// Only the label of what was measured: there was nothing to choose from.
    Only(&'a str),
    /// Nothing exact to compare with, nothing accurate enough.
    Nothing,
}

fn action(finding: &SettingFinding) -> Action<'_> {
    match (finding.at(ENOUGH), &finding.exact) {
        (Some(choice), _) => Action::Take(&choice.label),
        (None, Some(exact)) if finding.approximations == 0 => Action::Only(&exact.label),
        (None, Some(exact)) => Action::Stay(&exact.label),
        (None, None) => Action::Nothing,
    }
}

fn story_title(label: String, members: &[&SettingFinding]) -> String {
    // Where the entropy was asked for, it is told already.
    let asked = members.iter().any(|f| f.target_entropy.is_some());
    let entropy = if asked { None } else { entropy_words(members) };
    match (label.as_str(), entropy) {
        ("", Some(entropy)) => format!("Histories with {entropy}"),
        (_, Some(entropy)) => format!("{label}, {entropy}"),
        (_, None) => label,
    }
}

/// `measured entropy η ≈ 0.08`, or the range over the lengths.
fn entropy_words(members: &[&SettingFinding]) -> Option<String> {
    let all: Vec<f64> = members.iter().filter_map(|f| f.entropy).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
    let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (first, last) = (significant(low, 2), significant(high, 2));
    (low.is_finite() && high.is_finite()).then(|| {
        if first == last {
            format!("measured entropy η ≈ {first}")
        } else {
            format!("measured entropy η {first} to {last}")
        }
    })
}

/// Where on the axis a finding lies: `4096`, or `0.02`.
fn position(finding: &SettingFinding, along: Along) -> String {
    match (along, finding.target_entropy) {
        (Along::Entropy, Some(entropy)) => entropy.to_string(),
        _ => finding.length.to_string(),
    }
}

/// `N = 256 to 1024: stay exact (…).`
fn run_line(run: &[&SettingFinding], along: Along) -> String {
    let places: Vec<String> = run.iter().map(|f| position(f, along)).collect();
    let symbol = match along {
        Along::Length => "N",
        Along::Entropy => "η",
    };
    let place = match places.as_slice() {
        [only] => format!("{symbol} = {only}"),
        [first, second] => format!("{symbol} = {first} and {second}"),
        [first, .., last] => format!("{symbol} = {first} to {last}"),
        [] => return String::new(),
    };
    let Some(last) = run.last() else {
        return place;
    };
    let at_last = if run.len() > 1 {
        format!(" at {symbol} = {}", position(last, along))
    } else {
        String::new()
    };
    let words = match (action(last), last.at(ENOUGH), &last.exact) {
        (Action::Take(_), Some(choice), _) => take(choice, &at_last),
        (Action::Stay(_), _, Some(exact)) => {
            format!(
                "stay exact ({}, {}{at_last}{}){}",
                exact.label,
                numbers::duration(exact.latency_ms),
                tied(exact),
                lenient(run, along, symbol)
            )
        }
        (Action::Only(_), _, Some(exact)) => {
            format!(
                "{}, {}{at_last}, is the fastest{}; no approximation was measured",
                exact.label,
                numbers::duration_with_interval(exact.latency_ms, exact.interval_ms),
                tied(exact)
            )
        }
        _ => "no exact variant was measured and no approximation is within 10 % error".into(),
    };
    format!("{place}: {words}.")
}

/// `, tied with gemm`, or nothing.
fn tied(choice: &Choice) -> String {
    if choice.ties.is_empty() {
        String::new()
    } else {
        format!(", tied with {}", list(&choice.ties))
    }
}

/// `top-k k=64 — 1.48× faster (1.46 to 1.50) for 3.44 % error at N = 1024`.
fn take(choice: &Choice, at: &str) -> String {
    let gain = match choice.speedup {
        Some((median, (low, high))) => format!(
            "{}× faster ({} to {})",
            significant(median, 3),
            significant(low, 3),
            significant(high, 3)
        ),
        None => numbers::duration(choice.latency_ms),
    };
    let mut words = format!(
        "{} — {gain} for {} error{at}",
        choice.label,
        numbers::error(choice.error)
    );
    if !choice.ties.is_empty() {
        words += &format!("; tied in time, but less accurate: {}", list(&choice.ties));
    }
    if choice.speedup.is_none() {
        words += "; no exact variant was measured to compare with";
    }
    words
}

/// What a reader content with [`LENIENT`] could take, where the rest stay exact.
fn lenient(run: &[&SettingFinding], along: Along, symbol: &str) -> String {
    let offer = run.iter().rev().find_map(|f| Some((f, f.at(LENIENT)?)));
    let Some((finding, choice)) = offer else {
        return String::new();
    };
    let gain = choice
        .speedup
        .map(|(median, _)| format!(" is {}× faster", significant(median, 3)))
        .unwrap_or_default();
    let place = if run.len() > 1 {
        format!(" at {symbol} = {}", position(finding, along))
    } else {
        String::new()
    };
    format!(
        "; at {} {}{gain}{place}, for {} error",
        LENIENT.label(),
        choice.label,
        numbers::error(choice.error)
    )
}
