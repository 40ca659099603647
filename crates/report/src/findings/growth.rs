//! How time and memory grow with the length of histories, as powers of it.

use super::Answer;
use crate::fit::Fit;
use crate::numbers::exponent;
use crate::order::natural;
use crate::settings::{Setting, Settings, median_ms};
use experiment::record::Record;

/// Lengths from which on an exponent has an interval.
const ENOUGH: usize = 3;

/// A row for each variant that was timed at three lengths of a condition; `None` where none was.
pub(crate) fn answer(settings: &Settings) -> Option<Answer> {
    let groups = settings.by_condition();
    let rows: Vec<_> = groups
        .iter()
        .map(|(condition, list)| (settings.condition_label(condition), variants(list)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    if rows.is_empty() {
        return None;
    }
    Some(Answer::of(
        "How time and memory grow with the length of the history".into(),
        "s of N^s by least squares on logarithmic axes, with its 95 % interval by Student's t. Memory is the peak of a \
         call, as the counting allocator saw it or, without one, as predicted: with the inputs and the output that any \
         variant must hold, and beside them.",
        &[
            "Variant",
            "Lengths",
            "Time",
            "Memory with inputs and output",
            "Memory beside them",
        ]
        .map(String::from),
        rows,
    ))
}

fn variants(list: &[&Setting]) -> Vec<Vec<String>> {
    let mut records: Vec<&Record> = list.iter().flat_map(|s| s.measured()).collect();
    records.sort_by(|a, b| {
        natural(&a.variant.label, &b.variant.label).then_with(|| a.shape.nk.cmp(&b.shape.nk))
    });
    records
        .chunk_by(|a, b| a.variant.label == b.variant.label)
        .filter_map(row)
        .collect()
}

fn row(records: &[&Record]) -> Option<Vec<String>> {
    let [first, .., last] = records else {
        return None;
    };
    if records.len() < ENOUGH {
        return None;
    }
    let fitted = |value: &dyn Fn(&Record) -> f64| -> String {
        let (x, y): (Vec<f64>, Vec<f64>) = records
            .iter()
            .map(|r| (r.shape.nk as f64, value(r)))
            .filter(|(_, y)| *y > 0.0)
            .unzip();
        match Fit::of(&x, &y) {
            Some(fit) => words(&fit),
            None => "none".into(),
        }
    };
    let beside = |r: &Record| {
        let measured = r.memory.as_ref().and_then(|m| m.peak_bytes);
        measured.unwrap_or(r.cost.scratch_bytes) as f64
    };
    Some(vec![
        first.variant.label.clone(),
        format!("{} → {}", first.shape.nk, last.shape.nk),
        fitted(&|r| median_ms(r).unwrap_or(0.0)),
        fitted(&|r| beside(r) + r.cost.tensor_bytes as f64),
        fitted(&beside),
    ])
}

/// `1.02 (0.99 to 1.05)`.
fn words(fit: &Fit) -> String {
    let (low, high) = fit.interval;
    format!(
        "{} ({} to {})",
        exponent(fit.exponent),
        exponent(low),
        exponent(high)
    )
}
