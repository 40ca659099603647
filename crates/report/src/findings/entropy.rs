//! The error and the skill of every variant on every input, from flat attention to sharp.

use super::Answer;
use crate::numbers;
use crate::order::natural;
use crate::settings::{Setting, Settings};
use experiment::record::Record;
use std::collections::{BTreeMap, BTreeSet};

/// Entropies from which on a row shows a course.
const ENOUGH: usize = 3;

/// A row for each variant and input, a column for each entropy; `None` without an axis of entropies.
pub(crate) fn answer(settings: &Settings) -> Option<Answer> {
    let entropies: BTreeSet<u64> = settings
        .all
        .iter()
        .filter_map(|s| s.condition.entropy().map(f64::to_bits))
        .collect();
    if entropies.len() < ENOUGH {
        return None;
    }
    // The flattest first.
    let entropies: Vec<f64> = entropies.into_iter().rev().map(f64::from_bits).collect();
    let inputs: Vec<(String, Vec<Vec<String>>)> = inputs(settings)
        .into_iter()
        .map(|(label, list)| (label, rows(&list, &entropies)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    if inputs.is_empty() {
        return None;
    }
    let columns = entropies.iter().map(|e| format!("η = {e}"));
    let columns: Vec<String> = std::iter::once("Variant".into()).chain(columns).collect();
    Some(Answer::of(
        "Error and skill of each variant, from flat attention to sharp".into(),
        "Relative error against softmax attention, then skill: 1 is exact, 0 no better than the mean of the visible \
         values. Empty where a variant does not answer or its gate was not passed.",
        &columns,
        inputs,
    ))
}

/// Settings that differ in nothing but entropy.
fn inputs<'s, 'a>(settings: &'s Settings<'a>) -> Vec<(String, Vec<&'s Setting<'a>>)> {
    let mut inputs = Vec::new();
    for (condition, list) in settings.grouped(|s| s.condition.without_entropy()) {
        let mut lengths: BTreeMap<usize, Vec<&Setting>> = BTreeMap::new();
        for setting in list {
            lengths.entry(setting.nk).or_default().push(setting);
        }
        let labelled = lengths.into_iter();
        inputs.extend(labelled.map(|(nk, list)| (settings.label_at(&condition, nk), list)));
    }
    inputs
}

fn rows(list: &[&Setting], entropies: &[f64]) -> Vec<Vec<String>> {
    let mut cells: BTreeMap<&str, Vec<(f64, &Record)>> = BTreeMap::new();
    for setting in list {
        if let Some(entropy) = setting.condition.entropy() {
            for record in setting.measured() {
                let label = record.variant.label.as_str();
                cells.entry(label).or_default().push((entropy, record));
            }
        }
    }
    let mut labels: Vec<&str> = cells.keys().copied().collect();
    labels.sort_by(|a, b| natural(a, b));
    labels
        .into_iter()
        .map(|label| {
            let cell = |entropy: &f64| {
                let found = cells[label].iter().find(|(e, _)| e == entropy);
                found.map_or(String::new(), |(_, record)| words(record))
            };
            std::iter::once(label.to_string())
                .chain(entropies.iter().map(cell))
                .collect()
        })
        .collect()
}

/// `23.1 %, 0.94`.
fn words(record: &Record) -> String {
    record.accuracy.as_ref().map_or(String::new(), |accuracy| {
        let total = &accuracy.total;
        let error = numbers::error(total.relative_frobenius);
        format!("{error}, {}", numbers::skill(total.skill))
    })
}
