//! What the records say, in sentences: derived from them alone.

mod setting;
mod trouble;
mod verdict;

pub use setting::{Choice, Level, SettingFinding};
pub use trouble::Trouble;
pub(crate) use trouble::status_words;
pub(crate) use verdict::tally;

use crate::settings::Settings;
use experiment::record::Record;
use serde::Serialize;

/// Everything found in the records of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// The sentences to read first.
    pub verdict: Vec<String>,
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
    Findings {
        verdict: verdict::verdict(&settings, &found),
        shared: settings.shared(),
        trouble_summary: trouble::summary(&settings),
        settings: found,
        troubles,
    }
}

/// The findings as plain sentences, the most important first.
///
/// What a command line prints after a run: the verdict, then what could not be measured.
///
/// ```
/// assert_eq!(report::headline(&[]), ["There are no records: nothing was run."]);
/// ```
pub fn headline(records: &[Record]) -> Vec<String> {
    let found = findings(records);
    let mut sentences = found.verdict;
    if !found.trouble_summary.is_empty() {
        sentences.push(found.trouble_summary);
    }
    sentences
}
