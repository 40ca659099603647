//! Time over that of the exact kernel against the length: where each approximation becomes the faster.

use super::axis::{Axis, length_ticks, ratio_ticks};
use super::layout::{Layout, heading};
use super::lines::{Crossed, Guide, Line, LinePanel, Sample, draw_panels};
use super::palette::Color;
use super::scene::{Scene, Stroke};
use super::style::Styles;
use super::{Drawing, note};
use crate::findings::{Crossing, Race, Runner, length_words, races};
use crate::numbers::{self, significant, skill};
use crate::settings::Settings;
use std::collections::BTreeSet;

/// More conditions than these would not be looked at.
const MOST_PANELS: usize = 6;

/// Draws the chart; `None` where no approximation was timed beside an exact variant at three lengths.
pub(crate) fn draw(settings: &Settings, styles: &Styles, layout: Layout) -> Option<Drawing> {
    let races = races(settings);
    let laps = || {
        races
            .iter()
            .flat_map(|r| r.runners.iter().flat_map(|r| &r.points))
    };
    let lengths: BTreeSet<usize> = laps().map(|l| l.record.shape.nk).collect();
    let lengths: Vec<usize> = lengths.into_iter().collect();
    let (first, last) = (*lengths.first()? as f64, *lengths.last()? as f64);
    let mut x = Axis::log(&[first, last], "history length N", |_, _| Vec::new())?;
    x.ticks = length_ticks(&lengths, if layout.columns == 1 { 5 } else { 9 });
    let ratios: Vec<f64> = laps().map(|l| l.ratio.median).chain([1.0]).collect();
    let reference = &races.first()?.reference;
    let y = Axis::log(
        &ratios,
        &format!("time over {reference}'s   ↓ faster"),
        ratio_ticks,
    )?;
    let panels = races.iter().take(MOST_PANELS).map(|race| LinePanel {
        title: settings.condition_label(&race.condition),
        x: x.clone(),
        y: y.clone(),
        lines: race
            .runners
            .iter()
            .map(|r| line(r, styles, &race.reference))
            .collect(),
        guides: vec![Guide {
            points: vec![(first, 1.0), (last, 1.0)],
            label: race.reference.clone(),
            stroke: Stroke::new(Color::Ink, 2.4),
        }],
    });
    let panels: Vec<LinePanel> = panels.collect();
    let title = title(&settings.condition_label(&races[0].condition), &races[0]);
    let mut subtitle = format!(
        "{} · behind each name: from which N it is faster, and its error there · bars and bands: 95 % intervals",
        settings.shared()
    );
    if races.len() > MOST_PANELS {
        subtitle += &format!(" · {MOST_PANELS} of {} workloads drawn", races.len());
    }
    let mut scene = Scene::new(layout.width);
    let top = heading(&mut scene, &title, &subtitle);
    scene.height = draw_panels(&mut scene, panels, layout, 2, top);
    Some(Drawing { scene, title })
}

fn line(runner: &Runner, styles: &Styles, reference: &str) -> Line {
    let error = numbers::error(runner.error);
    let told = match runner.crossing {
        Crossing::Before(n) => format!("from ≤ {n}, {error}"),
        Crossing::At { length, .. } => format!("from {}, {error}", length_words(length)),
        Crossing::After(n) => format!("not by {n}"),
    };
    let samples = runner.points.iter().map(|lap| Sample {
        x: lap.length(),
        y: lap.ratio.median,
        interval: Some(lap.ratio.interval),
        note: format!(
            "{}\nN = {}: {} of {reference}'s time",
            note(lap.record),
            lap.record.shape.nk,
            significant(lap.ratio.median, 3)
        ),
    });
    let crossed = match runner.crossing {
        Crossing::At { length, interval } => Some(Crossed {
            x: length,
            y: 1.0,
            interval: (
                interval.0.unwrap_or(runner.points[0].length()),
                interval
                    .1
                    .unwrap_or(runner.points[runner.points.len() - 1].length()),
            ),
            note: format!(
                "{}\nfaster than {reference} from {}\nerror {error}, skill {} there",
                runner.label(),
                runner.from().unwrap_or_default(),
                skill(runner.skill)
            ),
        }),
        _ => None,
    };
    Line {
        label: format!("{}  {told}", runner.label()),
        style: styles.get(runner.points[0].record),
        samples: samples.collect(),
        crossed,
    }
}

/// How many overtake, and the first and the most accurate of them.
fn title(setting: &str, race: &Race) -> String {
    let overtaking: Vec<&Runner> = race.runners.iter().filter(|r| r.from().is_some()).collect();
    let place = if setting.is_empty() {
        String::new()
    } else {
        format!("{setting}: ")
    };
    let Some(first) = overtaking.first() else {
        return format!(
            "{place}no approximation becomes faster than {}",
            race.reference
        );
    };
    let from = |r: &Runner| {
        let from = r.from().unwrap_or_default();
        let from = from.split(" (").next().unwrap_or_default().to_string();
        format!("from {from} on at {} error", numbers::error(r.error))
    };
    let best = overtaking.iter().min_by(|a, b| a.error.total_cmp(&b.error));
    let best = best
        .filter(|b| b.label() != first.label())
        .map_or(String::new(), |b| {
            format!("; the most accurate, {}, {}", b.label(), from(b))
        });
    format!(
        "{place}{} of {} approximations become faster than {}: first {}, {}{best}",
        overtaking.len(),
        race.runners.len(),
        race.reference,
        first.label(),
        from(first)
    )
}

/// How to read the chart.
pub(crate) const READING: &str = "Time over that of the exact kernel, which is the bold line at 1: below it a variant is faster. \
     Both axes are logarithmic. A ring marks where a line last comes down through 1, interpolated between two measured lengths; the pale \
     band beside it is what the 95 % intervals of the ratios leave open. Behind each name stand that length and the error there: a crossing \
     at an error that is of no use is no reason to change.";
