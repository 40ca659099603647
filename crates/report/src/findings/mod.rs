//! What the records say, in sentences: derived from them alone.

mod answer;
mod crossover;
mod entropy;
mod features;
mod growth;
mod ladder;
mod setting;
mod trouble;
mod verdict;

pub use answer::Answer;
pub(crate) use crossover::{Crossing, Race, Runner, length_words, races};
pub(crate) use features::{
    Features, Point as FeaturePoint, Sweep, all as features, label as swept_label, parameters,
};
pub(crate) use ladder::{Rung, peak_name, rungs, share_words, summit};
pub use setting::{Choice, Level, SettingFinding};
pub use trouble::Trouble;
pub(crate) use trouble::status_words;
pub use verdict::Advice;
pub(crate) use verdict::tally;

use crate::settings::Settings;
use experiment::record::Record;
use serde::Serialize;

/// Everything found in the records of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// What to read first: the answer in a sentence.
    pub verdict: Vec<String>,
    /// What to take, by workload.
    pub advice: Vec<Advice>,
    /// Questions of their own, where the records answer them.
    pub answers: Vec<Answer>,
    /// What held for every setting: `causal · B = 1, H = 8, D = 64 · 2 threads`.
    pub shared: String,
    /// One for each workload, length and shape.
    pub settings: Vec<SettingFinding>,
    /// Cells without a time, by variant and reason.
    pub troubles: Vec<Trouble>,
    /// The troubles in one sentence; empty where there are none.
    pub trouble_summary: String,
}

/// Draws the conclusions. Costs O(cells²) comparisons within a setting, each a bootstrap.
pub fn findings(records: &[Record]) -> Findings {
    let settings = Settings::of(records);
    let found: Vec<SettingFinding> = settings
        .all
        .iter()
        .map(|s| SettingFinding::of(s, settings.setting_label(s)))
        .collect();
    let troubles = trouble::troubles(&settings);
    // A ladder is a question of its own: what each step buys, not which variant to take.
    let (verdict, mut advice) = match summit(&settings) {
        words if words.is_empty() => (verdict::verdict(&found), verdict::advice(&settings, &found)),
        words => (vec![words + "."], ladder::advice(&settings)),
    };
    advice.extend(crossover::advice(&settings));
    advice.extend(features::advice(&settings));
    Findings {
        verdict,
        advice,
        answers: [
            crossover::answer(&settings),
            features::answer(&settings),
            entropy::answer(&settings),
            growth::answer(&settings),
        ]
        .into_iter()
        .flatten()
        .collect(),
        shared: settings.shared(),
        trouble_summary: trouble::summary(&settings),
        settings: found,
        troubles,
    }
}

/// The findings as plain lines, the most important first.
///
/// What a command line prints after a run: the verdict, a line for each choice under the name of its workload,
/// then what could not be measured.
///
/// ```
/// assert_eq!(report::headline(&[]), ["There are no records: nothing was run."]);
/// ```
pub fn headline(records: &[Record]) -> Vec<String> {
    let found = findings(records);
    let mut lines = found.verdict;
    for Advice { title, lines: each } in found.advice {
        let indent = if title.is_empty() { "" } else { "  " };
        if !title.is_empty() {
            lines.push(format!("{title}:"));
        }
        lines.extend(each.into_iter().map(|line| format!("{indent}{line}")));
    }
    if !found.trouble_summary.is_empty() {
        lines.push(found.trouble_summary);
    }
    lines
}
