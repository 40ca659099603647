//! What accuracy costs in time: a panel a setting, points with intervals, the frontier as a step line.

use super::axis::{Axis, time_ticks};
use super::labels::{Label, draw_labels};
use super::layout::{Layout, MARGIN, TITLE_PITCH, heading, legend, title_lines};
use super::palette::Color;
use super::panel::{Block, Panel};
use super::scene::{Point, Scene, Stroke};
use super::style::{Styles, mark, whisker};
use super::{Drawing, note};
use crate::findings::{SettingFinding, tally};
use crate::frontier::frontier;
use crate::settings::{Setting, Settings};
use experiment::record::Record;

/// Below the rounding of f32 there is nothing to tell apart.
const LEAST_ERROR: f64 = 1e-8;

/// More lengths than these are thinned: a page of thirty panels says less than one of nine.
const MOST_PANELS: usize = 12;
const MOST_PANELS_NARROW: usize = 6;

/// Error and its interval, where the record has them.
fn errors(record: &Record) -> Option<(f64, (f64, f64))> {
    let accuracy = record.accuracy.as_ref()?;
    let error = accuracy.total.relative_frobenius;
    let (low, high) = accuracy.relative_frobenius_interval;
    (error.is_finite() && low.is_finite() && high.is_finite()).then(|| {
        let floor = |e: f64| e.max(LEAST_ERROR);
        (floor(error), (floor(low), floor(high)))
    })
}

fn drawable<'a>(setting: &Setting<'a>) -> Vec<&'a Record> {
    setting.measured().filter(|r| errors(r).is_some()).collect()
}

/// The settings to draw: all, or of each condition the same number of lengths, longest first kept.
fn chosen<'s, 'a>(settings: &'s Settings<'a>, most: usize) -> (Vec<&'s Setting<'a>>, usize) {
    let conditions: Vec<Vec<&Setting>> = settings
        .by_condition()
        .into_iter()
        .map(|(_, list)| list.into_iter().filter(|s| drawable(s).len() > 1).collect())
        .filter(|list: &Vec<&Setting>| !list.is_empty())
        .collect();
    let total: usize = conditions.iter().map(Vec::len).sum();
    let share = (most / conditions.len().max(1)).max(1);
    let mut kept = Vec::new();
    for list in &conditions {
        let n = if total <= most {
            list.len()
        } else {
            share.min(list.len())
        };
        let last = list.len() - 1;
        kept.extend((0..n).map(|k| {
            if n == 1 {
                list[last]
            } else {
                list[k * last / (n - 1)]
            }
        }));
    }
    kept.truncate(most);
    (kept, total)
}

/// The finding in one line.
fn title(settings: &Settings) -> String {
    const FASTER: &str = "An approximation within 10 % error is faster than exact attention";
    let found: Vec<SettingFinding> = settings
        .all
        .iter()
        .map(|s| SettingFinding::of(s, String::new()))
        .collect();
    match tally(&found) {
        (_, 0) => "What accuracy costs in time".into(),
        (0, _) => "No approximation within 10 % error is faster than exact attention".into(),
        (1, 1) => FASTER.into(),
        (2, 2) => format!("{FASTER} in both settings"),
        (won, all) if won == all => format!("{FASTER} in all {all} settings"),
        (won, all) => format!("{FASTER} in {won} of {all} settings"),
    }
}

/// Draws the chart; `None` where no setting has two measured variants.
pub(crate) fn draw(settings: &Settings, styles: &Styles, layout: Layout) -> Option<Drawing> {
    let most = if layout.columns == 1 {
        MOST_PANELS_NARROW
    } else {
        MOST_PANELS
    };
    let (panels, total) = chosen(settings, most);
    if panels.is_empty() {
        return None;
    }
    let title = title(settings);
    let mut subtitle = settings.shared();
    if panels.len() < total {
        subtitle += &format!(" · {} of {total} settings drawn", panels.len());
    }
    subtitle += " · bars: 95 % intervals · grey steps: the Pareto frontier";

    let y_values: Vec<f64> = panels
        .iter()
        .flat_map(|s| drawable(s))
        .filter_map(errors)
        .flat_map(|(e, (low, high))| [e, low, high])
        .collect();
    let (y, bent) = Axis::error(&y_values, "relative error   ↓ better")?;
    if bent {
        subtitle += " · below 0.1 % the error axis is compressed";
    }

    let mut scene = Scene::new(layout.width);
    let top = heading(&mut scene, &title, &subtitle);
    let shown = |name: &str| {
        panels
            .iter()
            .any(|s| drawable(s).iter().any(|r| r.variant.name == name))
    };
    let top = legend(&mut scene, styles, shown, top);

    let columns = layout.columns_for(panels.len(), 3);
    let cell = (layout.width - MARGIN) / columns as f64;
    let height = if columns == 3 { 270.0 } else { 320.0 };
    let width = cell - 86.0;
    let titles: Vec<Vec<String>> = panels
        .iter()
        .map(|s| title_lines(&settings.setting_label(s), width + 12.0))
        .collect();
    let more = titles.iter().map(Vec::len).max().unwrap_or(0).max(1) - 1;
    let above = 32.0 + TITLE_PITCH * more as f64;
    let pitch = height + 64.0 + above;
    for (i, setting) in panels.iter().enumerate() {
        let (column, row) = (i % columns, i / columns);
        let x = time_axis(&drawable(setting))?;
        let panel = Panel {
            left: 80.0 + column as f64 * cell,
            top: top + above + row as f64 * pitch,
            width,
            height,
            x,
            y: y.clone(),
        };
        panel.frame(&mut scene, &titles[i], column == 0);
        draw_points(&mut scene, &panel, &drawable(setting), styles);
    }
    scene.height = top + panels.len().div_ceil(columns) as f64 * pitch - 10.0;
    Some(Drawing { scene, title })
}

fn time_axis(rows: &[&Record]) -> Option<Axis> {
    let values: Vec<f64> = rows
        .iter()
        .filter_map(|r| r.latency.as_ref())
        .flat_map(|l| [l.median_ms, l.interval_ms.0, l.interval_ms.1])
        .collect();
    Axis::log(&values, "← faster   median latency", time_ticks)
}

fn draw_points(scene: &mut Scene, panel: &Panel, rows: &[&Record], styles: &Styles) {
    let values: Vec<(f64, f64)> = rows
        .iter()
        .map(|r| {
            let time = r.latency.as_ref().map_or(f64::NAN, |l| l.median_ms);
            (time, errors(r).map_or(f64::NAN, |(e, _)| e))
        })
        .collect();
    let best = frontier(&values);
    let mut lines = draw_sweeps(scene, panel, rows, &values, styles);
    lines.extend(draw_frontier(scene, panel, &values, &best));
    let places: Vec<Point> = values.iter().map(|&(x, y)| panel.at(x, y)).collect();
    let mut reach: Vec<(f64, f64)> = places.iter().map(|p| (p.0, p.0)).collect();
    for ((record, &(x, y)), reach) in rows.iter().zip(&values).zip(&mut reach) {
        let color = styles.get(record).color;
        if let (Some(latency), Some((_, (low, high)))) = (record.latency.as_ref(), errors(record)) {
            let (from, to) = latency.interval_ms;
            let across = [panel.at(from, y), panel.at(to, y)];
            let upright = [panel.at(x, low), panel.at(x, high)];
            *reach = (across[0].0, across[1].0);
            for bar in [across, upright] {
                whisker(scene, bar[0], bar[1], color);
                lines.push(bar.into());
            }
        }
    }
    for (record, &place) in rows.iter().zip(&places) {
        mark(scene, place, styles.get(record), 10.0);
        scene.note(place, note(record));
    }
    let mut order = best.clone();
    order.extend((0..rows.len()).filter(|i| !best.contains(i)));
    let labels: Vec<Label> = order
        .iter()
        .map(|&i| Label {
            at: places[i],
            reach: reach[i],
            upright: None,
            text: &rows[i].variant.label,
            color: styles.get(rows[i]).color,
        })
        .collect();
    let mut taken: Vec<Block> = places.iter().map(|&p| Block::around(p, 5.5)).collect();
    taken.extend(lines.iter().flat_map(|line| Block::along(line)));
    draw_labels(scene, panel, &labels, taken, &[]);
}

/// From the top, down to each frontier point in turn, and on to the right edge.
fn draw_frontier(
    scene: &mut Scene,
    panel: &Panel,
    values: &[(f64, f64)],
    best: &[usize],
) -> Option<Vec<Point>> {
    let &first = best.first()?;
    let mut steps = vec![(panel.at(values[first].0, values[first].1).0, panel.top)];
    for &i in best {
        let (x, y) = panel.at(values[i].0, values[i].1);
        if let [_, .., (_, before)] = steps[..] {
            steps.push((x, before));
        }
        steps.push((x, y));
    }
    if let Some(&(_, y)) = steps.last() {
        steps.push((panel.right(), y));
    }
    scene.line(steps.clone(), Stroke::new(Color::Reference, 1.5));
    Some(steps)
}

/// A thin line through the settings of one variant's parameters.
fn draw_sweeps(
    scene: &mut Scene,
    panel: &Panel,
    rows: &[&Record],
    values: &[(f64, f64)],
    styles: &Styles,
) -> Vec<Vec<Point>> {
    let mut lines = Vec::new();
    for (name, style) in &styles.names {
        let line: Vec<Point> = rows
            .iter()
            .zip(values)
            .filter(|(r, _)| r.variant.name == *name)
            .map(|(_, &(x, y))| panel.at(x, y))
            .collect();
        if line.len() > 1 {
            let stroke = Stroke::new(style.color, 1.25).faded(0.55);
            scene.line(line.clone(), stroke.dashed(&[3.0, 3.0]));
            lines.push(line);
        }
    }
    lines
}

/// How to read the chart, for the page.
pub(crate) const READING: &str = "Each panel is one workload at one history length. A point is a variant: \
     its median latency to the right, its error against exact attention upwards, both on logarithmic axes. \
     Left and low is better. The grey steps join the variants that nothing beats on both; what lies \
     above them costs time or accuracy for nothing. Exact variants lie at the bottom, at the rounding of f32.";
