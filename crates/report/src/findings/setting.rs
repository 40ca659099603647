//! What to use in one setting: the fastest exact variant, and the cheapest within each level of accuracy.

use crate::numbers::{self, list};
use crate::settings::{Setting, is_exact, median_ms};
use crate::speedup::{Outcome, Speedup, speedup};
use experiment::record::Record;
use serde::Serialize;

/// How accurate is accurate enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Relative Frobenius error at most this, its interval included.
    Error(f64),
    /// Skill at least this.
    Skill(f64),
}

impl Level {
    /// The levels of the findings, strictest first.
    pub const ALL: [Level; 3] = [Level::Error(0.01), Level::Error(0.1), Level::Skill(0.9)];

    /// In words: `relative error ≤ 1 %`.
    pub fn label(self) -> String {
        match self {
            Level::Error(most) => format!("relative error ≤ {} %", most * 100.0),
            Level::Skill(least) => format!("skill ≥ {least}"),
        }
    }

    /// Whether `record` is accurate enough; errors count with the upper end of their interval.
    fn admits(self, record: &Record) -> bool {
        let Some(accuracy) = &record.accuracy else {
            return false;
        };
        match self {
            Level::Error(most) => {
                let high = accuracy.relative_frobenius_interval.1;
                accuracy.total.relative_frobenius.max(high) <= most
            }
            Level::Skill(least) => accuracy.total.skill >= least,
        }
    }
}

/// A variant to take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// Its label.
    pub label: String,
    /// Relative error.
    pub error: f64,
    /// Skill.
    pub skill: f64,
    /// Median latency in milliseconds, and its interval.
    pub latency_ms: f64,
    /// 95 % interval of the median.
    pub interval_ms: (f64, f64),
    /// How many times faster than the fastest exact variant, with its 95 % interval; absent without one.
    pub speedup: Option<(f64, (f64, f64))>,
    /// Others as fast, as far as the intervals show.
    pub ties: Vec<String>,
}

/// What was found in one setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SettingFinding {
    /// What sets it apart: `interest clusters, N = 4096`.
    pub title: String,
    /// Length of the history.
    pub length: usize,
    /// The entropy asked for, where one was.
    pub target_entropy: Option<f64>,
    /// Measured entropy of the problem.
    pub entropy: Option<f64>,
    /// The fastest exact variant and those that tie with it.
    pub exact: Option<Choice>,
    /// For each of [`Level::ALL`] the approximation to take: accurate enough, and faster than exact
    /// attention beyond doubt.
    pub levels: Vec<(Level, Option<Choice>)>,
    /// How many approximations were measured.
    pub approximations: usize,
    /// How many variants were measured.
    pub measured: usize,
    /// The above in words.
    pub sentences: Vec<String>,
}

fn fastest<'a>(rows: &[&'a Record]) -> Option<&'a Record> {
    rows.iter()
        .copied()
        .min_by(|a, b| time(a).total_cmp(&time(b)))
}

fn time(record: &Record) -> f64 {
    median_ms(record).unwrap_or(f64::INFINITY)
}

fn error(record: &Record) -> f64 {
    let error = record.accuracy.as_ref().map(|a| a.total.relative_frobenius);
    error.unwrap_or(f64::NAN)
}

/// The best of `rows`: the fastest, or the most accurate of those that tie with it.
fn choose(rows: &[&Record], exact: Option<&Record>) -> Option<Choice> {
    let quickest = fastest(rows)?;
    let mut tied: Vec<&Record> = rows
        .iter()
        .copied()
        .filter(|r| {
            r.variant.label == quickest.variant.label
                || speedup(r, quickest).is_some_and(|s| s.outcome() == Outcome::Tie)
        })
        .collect();
    // Exact variants differ by rounding alone: among them speed decides.
    if !is_exact(quickest) {
        tied.sort_by(|a, b| error(a).total_cmp(&error(b)));
    } else {
        tied.sort_by(|a, b| time(a).total_cmp(&time(b)));
    }
    let (best, others) = tied.split_first()?;
    let latency = best.latency.as_ref()?;
    let gain = exact
        .filter(|e| e.variant.label != best.variant.label)
        .and_then(|e| speedup(e, best));
    Some(Choice {
        label: best.variant.label.clone(),
        error: error(best),
        skill: best.accuracy.as_ref().map_or(f64::NAN, |a| a.total.skill),
        latency_ms: latency.median_ms,
        interval_ms: latency.interval_ms,
        speedup: gain.map(|Speedup { median, interval }| (median, interval)),
        ties: others.iter().map(|r| r.variant.label.clone()).collect(),
    })
}

impl SettingFinding {
    /// Weighs the variants of `setting`.
    pub(crate) fn of(setting: &Setting, title: String) -> Self {
        let measured: Vec<&Record> = setting.measured().collect();
        let (exact, rest): (Vec<&Record>, Vec<&Record>) =
            measured.iter().partition(|r| is_exact(r));
        let reference = fastest(&exact);
        let levels = Level::ALL
            .into_iter()
            .map(|level| {
                let worth: Vec<&Record> = rest
                    .iter()
                    .copied()
                    .filter(|r| level.admits(r))
                    .filter(|r| {
                        reference.is_none_or(|exact| {
                            speedup(exact, r).is_some_and(|s| s.outcome() == Outcome::Faster)
                        })
                    })
                    .collect();
                (level, choose(&worth, reference))
            })
            .collect();
        let mut finding = SettingFinding {
            title,
            length: setting.nk,
            target_entropy: setting.condition.entropy(),
            entropy: setting
                .records
                .iter()
                .find_map(|r| r.problem.as_ref())
                .map(|p| p.entropy),
            exact: choose(&exact, None),
            levels,
            approximations: rest.len(),
            measured: measured.len(),
            sentences: Vec::new(),
        };
        finding.sentences = sentences(&finding);
        finding
    }

    /// The choice at `level`, if there is one worth taking.
    pub fn at(&self, level: Level) -> Option<&Choice> {
        let (_, choice) = self.levels.iter().find(|(l, _)| *l == level)?;
        choice.as_ref()
    }
}

impl Choice {
    /// ` (tied with a and b)`, or nothing.
    fn ties_in_words(&self) -> String {
        if self.ties.is_empty() {
            String::new()
        } else {
            format!(" (as fast, within the intervals: {})", list(&self.ties))
        }
    }

    /// `costs 2.31 % error, 3.21× (3.10 to 3.30) faster`.
    pub(crate) fn price(&self) -> String {
        let gain = match self.speedup {
            Some((median, interval)) => {
                format!("is {} faster", numbers::speedup(median, interval))
            }
            None => format!("takes {}", numbers::duration(self.latency_ms)),
        };
        format!(
            "costs {} error (skill {}) and {gain}",
            numbers::error(self.error),
            numbers::significant(self.skill, 3)
        )
    }
}

fn sentences(finding: &SettingFinding) -> Vec<String> {
    if finding.measured == 0 {
        return vec!["No variant was measured.".into()];
    }
    let mut sentences = Vec::new();
    match &finding.exact {
        Some(exact) => sentences.push(format!(
            "Fastest exact: {}, {}{}.",
            exact.label,
            numbers::duration_with_interval(exact.latency_ms, exact.interval_ms),
            exact.ties_in_words()
        )),
        None => sentences.push("No exact variant was measured to compare with.".into()),
    }
    if finding.approximations == 0 {
        return sentences;
    }
    // One sentence where the same choice serves several levels.
    let same = |a: &Option<Choice>, b: &Option<Choice>| match (a, b) {
        (Some(a), Some(b)) => a.label == b.label,
        (None, None) => true,
        _ => false,
    };
    for group in finding.levels.chunk_by(|(_, a), (_, b)| same(a, b)) {
        let levels: Vec<String> = group.iter().map(|(level, _)| level.label()).collect();
        let levels = list(&levels);
        sentences.push(match (&group[0].1, &finding.exact) {
            (Some(choice), _) => format!(
                "For {levels}: {} {}{}.",
                choice.label,
                choice.price(),
                choice.ties_in_words()
            ),
            (None, Some(_)) => {
                format!(
                    "For {levels}: stay exact, no approximation is both faster and that accurate."
                )
            }
            (None, None) => format!("For {levels}: no approximation is that accurate."),
        });
    }
    sentences
}
