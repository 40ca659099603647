//! Skill against the entropy that the inputs were tuned to.

use super::axis::{Axis, range, share_ticks};
use super::layout::{Layout, heading};
use super::lines::{Line, LinePanel, Sample, draw_panels};
use super::scene::Scene;
use super::style::Styles;
use super::{Drawing, note};
use crate::order::natural;
use crate::settings::{Setting, Settings, is_exact};
use experiment::record::Record;
use std::collections::BTreeSet;

/// Panels beyond these are left to the table.
const MOST_PANELS: usize = 10;

/// Below this all that matters is said: worse than averaging.
const LEAST_SKILL: f64 = -0.25;

/// An axis of skill from the worst of `values`, cut at [`LEAST_SKILL`], to 1.
pub(crate) fn skill_axis(values: impl Iterator<Item = f64>) -> Axis {
    let lowest = range(values).map_or(0.0, |(low, _)| low);
    let low = if lowest < 0.0 {
        lowest.max(LEAST_SKILL) - 0.03
    } else {
        -0.03
    };
    Axis::linear(low, 1.04, 0.2, "skill   ↑ better")
}

pub(crate) fn skill(record: &Record) -> Option<f64> {
    let skill = record.accuracy.as_ref()?.total.skill;
    skill.is_finite().then_some(skill)
}

/// Draws the chart; `None` where no variant was judged at two entropies.
pub(crate) fn draw(settings: &Settings, styles: &Styles, layout: Layout) -> Option<Drawing> {
    let groups = settings.grouped(|s| s.condition.without_entropy());
    let mut panels = Vec::new();
    let mut lengths_left_out = false;
    for (condition, list) in &groups {
        // The longest history at which the entropy varies; other lengths are in the table.
        let lengths: BTreeSet<usize> = list.iter().map(|s| s.nk).collect();
        let candidates = lengths.iter().rev().filter_map(|&nk| {
            let at: Vec<&Setting> = list.iter().copied().filter(|s| s.nk == nk).collect();
            let lines = lines(&at, styles);
            (!lines.is_empty()).then_some((nk, lines))
        });
        let mut candidates = candidates;
        let Some((nk, lines)) = candidates.next() else {
            continue;
        };
        lengths_left_out |= candidates.next().is_some();
        let samples = || lines.iter().flat_map(|l| &l.samples);
        let entropies: Vec<f64> = samples().map(|s| s.x).collect();
        let x = Axis::log(
            &entropies,
            "target entropy η, share of keys attended to",
            share_ticks,
        )?;
        let y = skill_axis(samples().map(|s| s.y));
        panels.push(LinePanel {
            title: settings.label_at(condition, nk),
            x,
            y,
            lines,
            guides: Vec::new(),
        });
    }
    if panels.is_empty() {
        return None;
    }
    let total = panels.len();
    panels.truncate(MOST_PANELS);
    let title = "How much skill is left as attention gets sharper or flatter?".to_string();
    let mut subtitle = format!(
        "{} · skill 1: exact, 0: no better than averaging the values",
        settings.shared()
    );
    if lengths_left_out {
        subtitle += " · the longest history each";
    }
    if total > MOST_PANELS {
        subtitle += &format!(" · {MOST_PANELS} of {total} drawn");
    }
    let mut scene = Scene::new(layout.width);
    let top = heading(&mut scene, &title, &subtitle);
    scene.height = draw_panels(&mut scene, panels, layout, 2, top);
    Some(Drawing { scene, title })
}

/// A line for each approximation with at least two entropies; exact variants are 1 throughout.
fn lines(list: &[&Setting], styles: &Styles) -> Vec<Line> {
    let mut rows: Vec<(&Record, f64)> = list
        .iter()
        .filter_map(|s| Some((s, s.condition.entropy()?)))
        .flat_map(|(s, entropy)| s.measured().map(move |r| (r, entropy)))
        .filter(|(r, _)| !is_exact(r) && skill(r).is_some())
        .collect();
    rows.sort_by(|(a, x), (b, y)| {
        (styles.position(a).cmp(&styles.position(b)))
            .then_with(|| natural(&a.variant.label, &b.variant.label))
            .then_with(|| x.total_cmp(y))
    });
    rows.chunk_by(|(a, _), (b, _)| a.variant.label == b.variant.label)
        .map(|group| Line {
            label: group[0].0.variant.label.clone(),
            style: styles.get(group[0].0),
            crossed: None,
            samples: group
                .iter()
                .filter_map(|(r, entropy)| {
                    Some(Sample {
                        x: *entropy,
                        y: skill(r)?,
                        interval: None,
                        note: note(r),
                    })
                })
                .collect(),
        })
        .filter(|line| {
            let ends = range(line.samples.iter().map(|s| s.x));
            ends.is_some_and(|(low, high)| low < high)
        })
        .collect()
}

/// How to read the chart.
pub(crate) const READING: &str = "To the left attention is sharp, a few keys hold the weight; to the right \
     it is flat, near an average of all values. Skill is 1 - (squared error)/(squared error of \
     plain averaging). A variant whose line falls to one side should not be used on such data. Exact variants \
     stay at 1 and are not drawn; values below the axis lie on its edge.";
