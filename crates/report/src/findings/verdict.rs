//! The sentences a newcomer reads first: which attention to use for which length.

use super::setting::{Choice, Level, SettingFinding};
use crate::numbers::{self, list, significant};
use crate::settings::Settings;

/// The accuracy that the verdict asks for.
const ENOUGH: Level = Level::Error(0.1);

/// The accuracy worth a mention where nothing reaches [`ENOUGH`].
const LENIENT: Level = Level::Skill(0.9);

/// One sentence a condition: where to stay exact, and what to take elsewhere.
pub(crate) fn verdict(settings: &Settings, found: &[SettingFinding]) -> Vec<String> {
    if found.is_empty() {
        return vec!["There are no records: nothing was run.".into()];
    }
    if found.iter().all(|f| f.measured == 0) {
        return vec![
            "No cell was measured: every one ended without a time, for the reasons listed.".into(),
        ];
    }
    let mut sentences = Vec::new();
    for (condition, list) in settings.by_condition() {
        let members: Vec<&SettingFinding> = settings
            .all
            .iter()
            .zip(found)
            .filter(|(s, f)| f.measured > 0 && list.iter().any(|other| std::ptr::eq(*other, *s)))
            .map(|(_, f)| f)
            .collect();
        if !members.is_empty() {
            let label = settings.condition_label(&condition);
            sentences.push(condition_sentence(&label, &members));
        }
    }
    sentences
}

/// What to do at one length.
#[derive(Debug, PartialEq)]
enum Advice<'a> {
    /// The label, of an approximation within [`ENOUGH`].
    Take(&'a str),
    /// The label of the fastest exact variant.
    Stay(&'a str),
    /// Only the label of what was measured: there was nothing to choose from.
    Only(&'a str),
    /// Nothing exact to compare with, nothing accurate enough.
    Nothing,
}

fn advice(finding: &SettingFinding) -> Advice<'_> {
    match (finding.at(ENOUGH), &finding.exact) {
        (Some(choice), _) => Advice::Take(&choice.label),
        (None, Some(exact)) if finding.approximations == 0 => Advice::Only(&exact.label),
        (None, Some(exact)) => Advice::Stay(&exact.label),
        (None, None) => Advice::Nothing,
    }
}

fn condition_sentence(label: &str, members: &[&SettingFinding]) -> String {
    let runs: Vec<String> = members
        .chunk_by(|a, b| advice(a) == advice(b))
        .map(run_clause)
        .collect();
    let clauses = runs.join("; ");
    match (label, entropy_words(members)) {
        ("", None) => {
            let mut letters = clauses.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string());
            format!("{}{}.", first.unwrap_or_default(), letters.as_str())
        }
        ("", Some(entropy)) => format!("For histories with {entropy}: {clauses}."),
        (label, None) => format!("For {label}: {clauses}."),
        (label, Some(entropy)) => format!("For {label} ({entropy}): {clauses}."),
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

/// `for N = 256 to 1024 stay exact with blocked (…)`.
fn run_clause(run: &[&SettingFinding]) -> String {
    let lengths: Vec<String> = run.iter().map(|f| f.length.to_string()).collect();
    let place = match lengths.as_slice() {
        [only] => format!("at N = {only}"),
        [first, second] => format!("at N = {first} and {second}"),
        [first, .., last] => format!("from N = {first} to {last}"),
        [] => return String::new(),
    };
    let Some(last) = run.last() else {
        return place;
    };
    let at_last = if run.len() > 1 {
        format!(" at N = {}", last.length)
    } else {
        String::new()
    };
    match advice(last) {
        Advice::Take(label) => {
            let choice = last.at(ENOUGH);
            let price = choice.map(|c| price(c, &at_last)).unwrap_or_default();
            let ties = choice.map(|c| c.ties.as_slice()).unwrap_or_default();
            let or = if ties.is_empty() {
                String::new()
            } else {
                format!(" (or {}: as fast{at_last}, less accurate)", list(ties))
            };
            format!("{place} take {label}{or}{price}")
        }
        Advice::Stay(label) => {
            format!(
                "{place} stay exact with {label}: no approximation is both faster and within 10 % error{}",
                lenient(run)
            )
        }
        Advice::Only(label) => {
            let time = last
                .exact
                .as_ref()
                .map(|c| numbers::duration_with_interval(c.latency_ms, c.interval_ms));
            let ties = last
                .exact
                .as_ref()
                .map(|c| c.ties.as_slice())
                .unwrap_or_default();
            let with = if ties.is_empty() {
                String::new()
            } else {
                format!(", tied with {}", list(ties))
            };
            format!(
                "{place} {label} is the fastest{with}, {}{at_last}; no approximation was measured",
                time.unwrap_or_default()
            )
        }
        Advice::Nothing => format!(
            "{place} no exact variant was measured and no approximation is within 10 % error"
        ),
    }
}

fn price(choice: &Choice, at: &str) -> String {
    let gain = match choice.speedup {
        Some((median, interval)) => format!(
            "{} faster than the fastest exact attention",
            numbers::speedup(median, interval)
        ),
        None => format!(
            "{}, no exact variant was measured to compare with",
            numbers::duration(choice.latency_ms)
        ),
    };
    format!(": {} error, {gain}{at}", numbers::error(choice.error))
}

/// What a reader content with [`LENIENT`] could take, where all the run offers is staying exact.
fn lenient(run: &[&SettingFinding]) -> String {
    let offers: Vec<(&SettingFinding, &Choice)> = run
        .iter()
        .filter_map(|f| Some((*f, f.at(LENIENT)?)))
        .collect();
    match offers.last() {
        Some((finding, choice)) => {
            let at = if run.len() > 1 {
                format!(" at N = {}", finding.length)
            } else {
                String::new()
            };
            format!(
                " (if a skill of 0.9 is enough: {}{})",
                choice.label,
                price(choice, &at)
            )
        }
        None => String::new(),
    }
}
