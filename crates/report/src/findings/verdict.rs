//! The sentences a newcomer reads first: which attention to use for which length.

use super::setting::{Choice, Level, SettingFinding};
use crate::numbers::{self, list, significant};
use crate::settings::{Setting, Settings};

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
    let mut sentences: Vec<String> = overall(found).into_iter().collect();
    for (label, axis, members) in stories(settings, found) {
        sentences.push(story_sentence(&label, axis, &members));
    }
    sentences
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

/// The answer in one sentence, where there are several settings to sum up.
fn overall(found: &[SettingFinding]) -> Option<String> {
    let (won, all) = tally(found);
    if all < 2 {
        return None;
    }
    Some(match won {
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

fn story_sentence(label: &str, along: Along, members: &[&SettingFinding]) -> String {
    let runs: Vec<String> = members
        .chunk_by(|a, b| advice(a) == advice(b))
        .map(|run| run_clause(run, along))
        .collect();
    let clauses = runs.join("; ");
    // Where the entropy was asked for, it is told already.
    let asked = members.iter().any(|f| f.target_entropy.is_some());
    let entropy = if asked { None } else { entropy_words(members) };
    match (label, entropy) {
        ("", None) => {
            let mut letters = clauses.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string());
            format!("{}{}.", first.unwrap_or_default(), letters.as_str())
        }
        ("", Some(entropy)) => format!("For histories with {entropy}: {clauses}."),
        (label, None) => format!("For {label}: {clauses}."),
        (label, Some(entropy)) => format!("For {label}, {entropy}: {clauses}."),
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

/// `from N = 256 to 1024 stay exact with blocked (…)`.
fn run_clause(run: &[&SettingFinding], along: Along) -> String {
    let places: Vec<String> = run.iter().map(|f| position(f, along)).collect();
    let symbol = match along {
        Along::Length => "N",
        Along::Entropy => "η",
    };
    let place = match places.as_slice() {
        [only] => format!("at {symbol} = {only}"),
        [first, second] => format!("at {symbol} = {first} and {second}"),
        [first, .., last] => format!("from {symbol} = {first} to {last}"),
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
                "{place} stay exact with {label} (no approximation within 10 % error is faster{})",
                lenient(run, along, symbol)
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

/// `, 1.48× (1.46 to 1.50) faster than exact for 3.44 % error at N = 1024`.
fn price(choice: &Choice, at: &str) -> String {
    let error = numbers::error(choice.error);
    match choice.speedup {
        Some((median, interval)) => format!(
            ", {} faster than exact for {error} error{at}",
            numbers::speedup(median, interval)
        ),
        None => format!(
            ", {} for {error} error{at}; no exact variant was measured to compare with",
            numbers::duration(choice.latency_ms)
        ),
    }
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
