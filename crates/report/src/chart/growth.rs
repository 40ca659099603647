//! Latency and memory against the length of the history, with fitted slopes.

use super::axis::{Axis, Tick, byte_ticks, length_ticks, time_ticks};
use super::layout::{Layout, heading};
use super::lines::{Estimate, Line, LinePanel, Sample, draw_panels};
use super::scene::Scene;
use super::style::Styles;
use super::{Drawing, note};
use crate::numbers::exponent;
use crate::order::natural;
use crate::settings::{Condition, Setting, Settings, is_measured};
use experiment::record::Record;
use std::collections::BTreeSet;

/// More conditions than these would not be looked at.
const MOST_PANELS: usize = 6;

/// What grows.
pub(crate) struct Quantity {
    /// `latency`, as a subject of a sentence.
    subject: &'static str,
    axis: &'static str,
    ticks: fn(f64, f64) -> Vec<Tick>,
    value: fn(&Record) -> Option<Estimate>,
    /// Said of the whole chart, given its records.
    remark: fn(&[&Record]) -> &'static str,
}

/// Median latency.
pub(crate) const LATENCY: Quantity = Quantity {
    subject: "Latency",
    axis: "median latency   ↓ better",
    ticks: time_ticks,
    value: |record| {
        let latency = record.latency.as_ref()?;
        is_measured(record).then_some((latency.median_ms, Some(latency.interval_ms)))
    },
    remark: |_| "bars: 95 % intervals",
};

/// Peak memory above inputs and output: measured, else as predicted.
pub(crate) const MEMORY: Quantity = Quantity {
    subject: "Memory",
    axis: "peak memory beside inputs and output   ↓ better",
    ticks: byte_ticks,
    value: |record| {
        let bytes = peak(record).unwrap_or(record.cost.scratch_bytes);
        (is_measured(record) && bytes > 0).then_some((bytes as f64, None))
    },
    remark: |records| {
        let measured = records.iter().filter(|r| peak(r).is_some()).count();
        if measured == records.len() {
            "measured by the counting allocator"
        } else if measured == 0 {
            "predicted, not measured"
        } else {
            "measured where the counting allocator was installed, else predicted"
        }
    },
};

fn peak(record: &Record) -> Option<u64> {
    record.memory.as_ref()?.peak_bytes
}

/// Draws the chart; `None` where no variant was measured at two lengths.
pub(crate) fn draw(
    settings: &Settings,
    styles: &Styles,
    layout: Layout,
    quantity: &Quantity,
) -> Option<Drawing> {
    let mut slopes: Vec<(f64, String)> = Vec::new();
    let mut panels = Vec::new();
    let groups = settings.by_condition();
    let records: Vec<&Record> = settings
        .all
        .iter()
        .flat_map(|s| s.measured())
        .filter(|r| (quantity.value)(r).is_some())
        .collect();
    let values: Vec<f64> = records
        .iter()
        .filter_map(|r| (quantity.value)(r))
        .flat_map(|(v, interval)| {
            let (low, high) = interval.unwrap_or((v, v));
            [low, v, high]
        })
        .collect();
    let y = Axis::log(&values, quantity.axis, quantity.ticks)?;
    let drawable: Vec<(&Condition, Vec<Line>, Vec<usize>)> = groups
        .iter()
        .filter_map(|(condition, list)| {
            let lines = lines(list, styles, quantity, &mut slopes);
            let lengths: BTreeSet<usize> = list.iter().map(|s| s.nk).collect();
            (!lines.is_empty()).then(|| (condition, lines, lengths.into_iter().collect()))
        })
        .collect();
    let total = drawable.len();
    for (condition, lines, lengths) in drawable.into_iter().take(MOST_PANELS) {
        let floats: Vec<f64> = lengths.iter().map(|&n| n as f64).collect();
        let mut x = Axis::log(&floats, "history length N", |_, _| Vec::new())?;
        x.ticks = length_ticks(&lengths, if layout.columns == 1 { 5 } else { 8 });
        panels.push(LinePanel {
            title: settings.condition_label(condition),
            x,
            y: y.clone(),
            lines,
            guides: Vec::new(),
        });
    }
    if panels.is_empty() {
        return None;
    }
    let title = title(quantity.subject, &slopes);
    let mut subtitle = format!(
        "{} · {} · N^s: slope fitted over all lengths drawn",
        settings.shared(),
        (quantity.remark)(&records)
    );
    if total > MOST_PANELS {
        subtitle += &format!(" · {MOST_PANELS} of {total} workloads drawn");
    }
    let mut scene = Scene::new(layout.width);
    let top = heading(&mut scene, &title, &subtitle);
    scene.height = draw_panels(&mut scene, panels, layout, 2, top);
    Some(Drawing { scene, title })
}

/// From the flattest to the steepest of the slopes.
fn title(subject: &str, slopes: &[(f64, String)]) -> String {
    let ends = |pick: fn(&(f64, String), &(f64, String)) -> bool| {
        slopes
            .iter()
            .fold(None, |best: Option<&(f64, String)>, s| match best {
                Some(b) if !pick(s, b) => Some(b),
                _ => Some(s),
            })
    };
    match (ends(|a, b| a.0 < b.0), ends(|a, b| a.0 > b.0)) {
        (Some((low, flat)), Some((high, steep))) if flat != steep => format!(
            "{subject} grows with history length from N^{} ({flat}) to N^{} ({steep})",
            exponent(*low),
            exponent(*high)
        ),
        (Some((low, only)), _) => format!(
            "{subject} of {only} grows as N^{} with history length",
            exponent(*low)
        ),
        _ => format!("{subject} against history length"),
    }
}

/// A line for each label with at least two lengths, and its slope.
fn lines(
    list: &[&Setting],
    styles: &Styles,
    quantity: &Quantity,
    slopes: &mut Vec<(f64, String)>,
) -> Vec<Line> {
    let mut records: Vec<&Record> = list.iter().flat_map(|s| s.measured()).collect();
    records.sort_by(|a, b| {
        (styles.position(a).cmp(&styles.position(b)))
            .then_with(|| natural(&a.variant.label, &b.variant.label))
            .then_with(|| a.shape.nk.cmp(&b.shape.nk))
    });
    let mut lines = Vec::new();
    for group in records.chunk_by(|a, b| a.variant.label == b.variant.label) {
        let samples: Vec<Sample> = group
            .iter()
            .filter_map(|r| {
                let (y, interval) = (quantity.value)(r)?;
                Some(Sample {
                    x: r.shape.nk as f64,
                    y,
                    interval,
                    note: format!("{}\nN = {}", note(r), r.shape.nk),
                })
            })
            .collect();
        let (x, y): (Vec<f64>, Vec<f64>) = samples.iter().map(|s| (s.x, s.y)).unzip();
        if let Some(slope) = measure::log_log_slope(&x, &y) {
            let label = &group[0].variant.label;
            slopes.push((slope.exponent, label.clone()));
            lines.push(Line {
                label: format!("{label}  N^{}", exponent(slope.exponent)),
                style: styles.get(group[0]),
                crossed: None,
                samples,
            });
        }
    }
    lines
}

/// How to read the chart of latency.
pub(crate) const READING_LATENCY: &str = "One line a variant, both axes logarithmic, so that a power law is \
     a straight line: slope 1 doubles the time when the history doubles, slope 2 quadruples it. The \
     number after each name is the slope fitted to its points. Where two lines cross, the better choice changes.";

/// How to read the chart of memory.
pub(crate) const READING_MEMORY: &str = "Bytes held at the peak beside inputs and output. Slope 2 means that \
     the whole score matrix is held; slope 1 that memory grows like the history itself; slope 0 that it \
     does not grow.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_names_both_ends() {
        let slopes = [(2.04, "naive".into()), (0.99, "elu".into())];
        assert_eq!(
            title("Latency", &slopes),
            "Latency grows with history length from N^0.99 (elu) to N^2.04 (naive)"
        );
        assert_eq!(
            title("Memory", &slopes[..1]),
            "Memory of naive grows as N^2.04 with history length"
        );
    }
}
