//! Panels of lines whose names stand at the right, beside where each line ends.

use super::axis::Axis;
use super::layout::{LABEL, Layout, MARGIN, TITLE_PITCH, spread, title_lines};
use super::palette::Color;
use super::panel::Panel;
use super::render::text_width;
use super::scene::{Font, Point, Scene, Stroke};
use super::style::{Style, mark, ring, whisker};

/// A value, and its interval where there is one.
pub(crate) type Estimate = (f64, Option<(f64, f64)>);

/// One point of a line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// The interval of y, where there is one.
    pub(crate) interval: Option<(f64, f64)>,
    /// The tooltip.
    pub(crate) note: String,
}

/// A line and its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) style: Style,
    pub(crate) samples: Vec<Sample>,
    /// Where it crosses a guide.
    pub(crate) crossed: Option<Crossed>,
}

/// A place on a line that matters more than its samples.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Crossed {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// The interval of x.
    pub(crate) interval: (f64, f64),
    /// The tooltip.
    pub(crate) note: String,
}

/// Lines on common axes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LinePanel {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
    /// What the lines are read against, drawn below them.
    pub(crate) guides: Vec<Guide>,
}

/// A line without points of its own, named like the others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Guide {
    pub(crate) points: Vec<Point>,
    pub(crate) label: String,
    pub(crate) stroke: Stroke,
}

impl Guide {
    /// A reference, thin and dashed.
    pub(crate) fn dashed(points: Vec<Point>, label: impl Into<String>) -> Self {
        Guide {
            points,
            label: label.into(),
            stroke: Stroke::new(Color::Reference, 1.5).dashed(&[5.0, 4.0]),
        }
    }
}

const GAP: f64 = 15.0;
const SIZE: f64 = LABEL - 0.5;
/// From the axis to the left edge: tick labels and the label of the axis.
const LEFT: f64 = 82.0;
/// Least width of a plot that still reads as a curve.
const LEAST_PLOT: f64 = 190.0;

fn label_room(panel: &LinePanel) -> f64 {
    let names = panel.lines.iter().map(|l| l.label.as_str());
    let guides = panel.guides.iter().map(|g| g.label.as_str());
    let widest = names
        .chain(guides)
        .map(|l| text_width(l, SIZE, false))
        .fold(0.0, f64::max);
    widest + 30.0
}

/// Draws the panels in a grid of at most `most` columns below `top`, and returns the y below them.
pub(crate) fn draw_panels(
    scene: &mut Scene,
    panels: Vec<LinePanel>,
    layout: Layout,
    most: usize,
    top: f64,
) -> f64 {
    let room = panels.iter().map(label_room).fold(0.0, f64::max);
    let mut columns = layout.columns_for(panels.len(), most);
    let plot = |columns: usize| (layout.width - MARGIN) / columns as f64 - LEFT - room;
    while columns > 1 && plot(columns) < LEAST_PLOT {
        columns -= 1;
    }
    let width = plot(columns).max(120.0);
    let labels = panels.iter().map(|p| p.lines.len() + p.guides.len());
    let labels = labels.max().unwrap_or(0);
    let height = (labels as f64 * GAP + 10.0).max(290.0);
    let titles: Vec<Vec<String>> = panels
        .iter()
        .map(|p| title_lines(&p.title, width + room - 6.0))
        .collect();
    let more = titles.iter().map(Vec::len).max().unwrap_or(0).max(1) - 1;
    let above = 32.0 + TITLE_PITCH * more as f64;
    let pitch = height + 60.0 + above;
    let rows = panels.len().div_ceil(columns);
    for (i, panel) in panels.into_iter().enumerate() {
        let (column, row) = (i % columns, i / columns);
        let place = Panel {
            left: LEFT + column as f64 * (LEFT + width + room),
            top: top + above + row as f64 * pitch,
            width,
            height,
            x: panel.x,
            y: panel.y,
        };
        place.frame(scene, &titles[i], true);
        draw_lines(scene, &place, &panel.lines, &panel.guides);
    }
    top + rows as f64 * pitch - 10.0
}

fn draw_lines(scene: &mut Scene, panel: &Panel, lines: &[Line], guides: &[Guide]) {
    let mut ends: Vec<(Point, &str, Color)> = Vec::new();
    for guide in guides {
        let points: Vec<Point> = guide.points.iter().map(|&(x, y)| panel.at(x, y)).collect();
        if let Some(&end) = points.last() {
            ends.push((end, &guide.label, guide.stroke.color));
        }
        scene.line(points, guide.stroke);
    }
    for line in lines {
        let points: Vec<Point> = line.samples.iter().map(|s| place(panel, s)).collect();
        if let Some(&end) = points.last() {
            ends.push((end, &line.label, line.style.color));
        }
        scene.line(
            points,
            Stroke::new(line.style.color, 2.0).dashed(line.style.dash),
        );
        for sample in &line.samples {
            if let Some((low, high)) = sample.interval {
                let (low, high) = (panel.y.clamp(low), panel.y.clamp(high));
                whisker(
                    scene,
                    panel.at(sample.x, low),
                    panel.at(sample.x, high),
                    line.style.color,
                );
            }
        }
    }
    for line in lines {
        for sample in &line.samples {
            let at = place(panel, sample);
            mark(scene, at, line.style, 7.5);
            scene.note(at, sample.note.clone());
        }
    }
    for line in lines {
        if let Some(crossed) = &line.crossed {
            let (low, high) = crossed.interval;
            let band = vec![panel.at(low, crossed.y), panel.at(high, crossed.y)];
            scene.line(band, Stroke::new(line.style.color, 7.0).faded(0.4));
            let center = panel.at(crossed.x, crossed.y);
            ring(scene, center, line.style);
            scene.note(center, crossed.note.clone());
        }
    }
    let wanted: Vec<f64> = ends.iter().map(|((_, y), _, _)| *y).collect();
    let x = panel.right() + 22.0;
    for ((end, text, color), y) in ends
        .iter()
        .zip(spread(&wanted, GAP, panel.top, panel.bottom()))
    {
        scene.line(
            vec![(end.0 + 6.0, end.1), (x - 10.0, y), (x - 3.0, y)],
            Stroke::new(*color, 1.0).faded(0.5),
        );
        scene.text((x, y + SIZE * 0.36), *text, Font::new(SIZE, *color));
    }
}

/// Where a sample is drawn: values beyond the axis lie on its edge.
fn place(panel: &Panel, sample: &Sample) -> Point {
    panel.at(panel.x.clamp(sample.x), panel.y.clamp(sample.y))
}
