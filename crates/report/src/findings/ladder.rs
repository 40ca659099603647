//! What each rung of a ladder buys over the one before.

use super::verdict::Advice;
use crate::numbers::{error, list, significant};
use crate::settings::{Setting, Settings, is_exact, is_measured};
use crate::speedup::{Speedup, speedup};
use experiment::record::Record;

/// One variant on the ladder.
#[derive(Debug, Clone)]
pub(crate) struct Rung<'a> {
    pub(crate) record: &'a Record,
    /// Share of the FMA peak, where it was timed and the peak is known.
    pub(crate) share: Option<f64>,
    /// How many times faster than the rung before, where both were timed.
    pub(crate) step: Option<Speedup>,
}

impl Rung<'_> {
    /// The relative error against softmax attention in f64.
    pub(crate) fn error(&self) -> Option<f64> {
        let error = self.record.accuracy.as_ref()?.total.relative_frobenius;
        error.is_finite().then_some(error)
    }
}

/// The rungs of a setting from the first to the last; empty unless two of them were timed.
pub(crate) fn rungs<'a>(setting: &Setting<'a>) -> Vec<Rung<'a>> {
    let mut records: Vec<(usize, &Record)> = setting
        .records
        .iter()
        .filter_map(|r| Some((r.variant.rung?, *r)))
        .collect();
    if records.iter().filter(|(_, r)| is_measured(r)).count() < 2 {
        return Vec::new();
    }
    records.sort_by_key(|(rung, _)| *rung);
    let mut before: Option<&Record> = None;
    records
        .into_iter()
        .map(|(_, record)| {
            let timed = is_measured(record).then_some(record);
            let step = before.zip(timed).and_then(|(b, r)| speedup(b, r));
            before = timed;
            let share = timed
                .and_then(|r| r.latency.as_ref())
                .map(|l| l.share_of_peak);
            Rung {
                record,
                share: share.filter(|s| s.is_finite() && *s > 0.0),
                step,
            }
        })
        .collect()
}

/// `f32 FMA peak of one thread`.
pub(crate) fn peak_name(threads: usize) -> String {
    match threads {
        1 => "f32 FMA peak of one thread".into(),
        n => format!("f32 FMA peak of {n} threads"),
    }
}

/// A share in percent with two digits: `91 %`.
pub(crate) fn share_words(share: f64) -> String {
    format!("{} %", significant(100.0 * share, 2))
}

/// Where the ladder of the largest problem ends: `blocked reaches 91 % of the f32 FMA peak ...`; empty where
/// there is no ladder.
pub(crate) fn summit(settings: &Settings) -> String {
    let ladders = settings.all.iter().map(|s| (s, rungs(s)));
    let work = |rungs: &[Rung]| rungs.iter().map(|r| r.record.cost.flops).max();
    let largest = ladders
        .filter(|(_, rungs)| !rungs.is_empty())
        .max_by_key(|(_, rungs)| work(rungs));
    let Some((setting, rungs)) = largest else {
        return String::new();
    };
    let fastest = |exact: bool| {
        let timed = rungs
            .iter()
            .filter(|r| r.share.is_some() && is_exact(r.record) == exact);
        timed.max_by(|a, b| a.share.unwrap_or(0.0).total_cmp(&b.share.unwrap_or(0.0)))
    };
    let first = rungs.iter().find(|r| r.share.is_some());
    let (Some(first), Some(top)) = (first, fastest(true).or_else(|| fastest(false))) else {
        return String::new();
    };
    let over = |slow: &Rung, fast: &Rung| {
        let gain = speedup(slow.record, fast.record).map(|s| significant(s.median, 3));
        gain.unwrap_or_default()
    };
    let name = |rung: &Rung| rung.record.variant.label.clone();
    let mut words = format!(
        "{}: {} reaches {} of the {}",
        settings.setting_label(setting),
        name(top),
        share_words(top.share.unwrap_or(0.0)),
        peak_name(setting.condition.threads()),
    );
    if top.record.variant.label != first.record.variant.label {
        words += &format!(", {}× as fast as {}", over(first, top), name(first));
    }
    if let Some(beyond) = fastest(false).filter(|b| b.share > top.share) {
        words += &format!("; {} is {}× faster still", name(beyond), over(top, beyond));
        if let Some(e) = beyond.error() {
            words += &format!(", for {} error", error(e));
        }
    }
    words
}

/// A line for each setting: what every rung buys.
pub(crate) fn advice(settings: &Settings) -> Vec<Advice> {
    let lines: Vec<String> = settings
        .all
        .iter()
        .filter_map(|setting| {
            let rungs = rungs(setting);
            let steps: Vec<String> = rungs.iter().filter_map(step_words).collect();
            let place = settings.setting_label(setting);
            (!steps.is_empty()).then(|| format!("{place}: {}.", list(&steps)))
        })
        .collect();
    if lines.is_empty() {
        return Vec::new();
    }
    vec![Advice {
        title: "Each rung: times as fast as the one before, and the share of the f32 FMA peak it reaches"
            .into(),
        lines,
    }]
}

/// `naive-gemm 13.1× (12 %)`.
fn step_words(rung: &Rung) -> Option<String> {
    let share = share_words(rung.share?);
    let label = &rung.record.variant.label;
    Some(match rung.step {
        Some(step) => format!("{label} {}× ({share})", significant(step.median, 3)),
        None => format!("{label} ({share})"),
    })
}
