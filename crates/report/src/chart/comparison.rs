//! How long each library takes for each cell, over one that all are compared with.

use super::Chart;
use super::axis::{Axis, ratio_ticks};
use super::layout::{LABEL, MARGIN, TICK, heading};
use super::palette::Color;
use super::render::text_width;
use super::scene::{Anchor, Font, Point, Scene, Stroke};
use super::style::{Marker, Style, mark, whisker};
use crate::numbers::significant;

/// Ratios of times, cell by cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What it shows, as a sentence.
    pub title: String,
    /// What is compared how, in a line.
    pub subtitle: String,
    /// Who all are compared with, at 1.
    pub reference: String,
    /// Those compared; the first is what the chart is about.
    pub names: Vec<String>,
    /// Titles of the panels, side by side.
    pub panels: Vec<String>,
    /// Cells that belong together.
    pub sections: Vec<Section>,
}

/// Cells under a heading.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// From top to bottom.
    pub cells: Vec<ComparedCell>,
}

/// One cell, in each panel.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedCell {
    /// What is computed, in short.
    pub label: String,
    /// For each panel, who took part.
    pub panels: Vec<Vec<Ratio>>,
}

/// One time over the reference's.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratio {
    /// One of the [`names`](Comparison::names).
    pub name: String,
    /// Below 1: faster than the reference.
    pub ratio: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
}

/// Looks in the order of the names: what the chart is about in blue, the rest in quieter colours.
const LOOKS: [(Color, Marker); 7] = [
    (Color::Family(1, 0), Marker::Disc),
    (Color::Family(2, 0), Marker::Diamond),
    (Color::Family(3, 0), Marker::Triangle),
    (Color::Family(4, 0), Marker::Square),
    (Color::Family(5, 0), Marker::Down),
    (Color::Family(6, 2), Marker::Cross),
    (Color::Family(0, 2), Marker::Square),
];

/// Ratios beyond are drawn at the edge.
const EDGES: (f64, f64) = (1.0 / 16.0, 16.0);

const ROW: f64 = 19.0;
const SECTION: f64 = 30.0;
/// Room at the right end of a row for the ratio in digits.
const DIGITS: f64 = 38.0;

fn look(index: usize) -> Style {
    let (color, marker) = LOOKS[index % LOOKS.len()];
    Style {
        color,
        marker,
        filled: index < LOOKS.len(),
        dash: &[],
    }
}

/// Draws ratios of times cell by cell: a row a cell, a marker a library, the reference a line at 1.
///
/// A row's digits are the ratio of the first name. Ratios below 1/16 and above 16 are drawn at the
/// edge.
#[must_use]
pub fn comparison(of: &Comparison) -> Chart {
    Chart {
        name: "peers",
        title: of.title.clone(),
        reading: "Each row is a cell, each marker a library; left of the line is faster.",
        wide: scene(of, 1080.0, 1),
        narrow: scene(of, 420.0, of.panels.len()),
    }
}

/// `stack` panels below each other, or all side by side.
fn scene(of: &Comparison, width: f64, stack: usize) -> Scene {
    let mut scene = Scene::new(width);
    let mut y = heading(&mut scene, &of.title, &of.subtitle);
    y = legend(&mut scene, of, y);
    let columns = of.panels.len().div_ceil(stack.max(1)).max(1);
    let axis = axis(of);
    for chunk in (0..of.panels.len()).collect::<Vec<_>>().chunks(columns) {
        y = rows(&mut scene, of, chunk, &axis, y + 22.0);
    }
    scene.height = y + MARGIN;
    scene
}

fn axis(of: &Comparison) -> Axis {
    let all = of.sections.iter().flat_map(|s| &s.cells);
    let ratios: Vec<f64> = all
        .flat_map(|cell| cell.panels.iter().flatten())
        .map(|r| r.ratio.clamp(EDGES.0, EDGES.1))
        .chain([0.5, 2.0])
        .collect();
    let fallback = || Axis::linear(0.0, 1.0, 1.0, "");
    Axis::log(&ratios, "", ratio_ticks).unwrap_or_else(fallback)
}

fn legend(scene: &mut Scene, of: &Comparison, top: f64) -> f64 {
    let (mut x, mut y) = (MARGIN, top + 14.0);
    let line = format!("{} (the line at 1)", of.reference);
    let entries = of.names.iter().map(String::as_str).chain([line.as_str()]);
    for (index, name) in entries.enumerate() {
        let width = 16.0 + text_width(name, LABEL, index == 0) + 18.0;
        if x > MARGIN && x + width - 18.0 > scene.width - MARGIN {
            (x, y) = (MARGIN, y + 20.0);
        }
        let font = Font::new(LABEL, Color::Ink);
        if index < of.names.len() {
            mark(scene, (x + 5.0, y - 4.0), look(index), 10.0);
        } else {
            let stroke = Stroke::new(Color::Ink, 1.4);
            scene.line(vec![(x + 5.0, y - 11.0), (x + 5.0, y + 3.0)], stroke);
        }
        let font = if index == 0 { font.bold() } else { font };
        scene.text((x + 16.0, y), name, font);
        x += width;
    }
    y + 10.0
}

/// The rows of some panels side by side; returns the y below.
fn rows(scene: &mut Scene, of: &Comparison, panels: &[usize], axis: &Axis, top: f64) -> f64 {
    let labels = of.sections.iter().flat_map(|s| &s.cells);
    let widest = labels
        .map(|cell| text_width(&cell.label, TICK, false))
        .fold(0.0, f64::max);
    let left = MARGIN + widest + 14.0;
    let each = (scene.width - MARGIN - left) / panels.len() as f64;
    let frames: Vec<(usize, f64, f64)> = panels
        .iter()
        .enumerate()
        .map(|(column, &panel)| {
            let start = left + each * column as f64;
            (panel, start, start + each - DIGITS - 16.0)
        })
        .collect();
    let height: f64 = of
        .sections
        .iter()
        .map(|s| SECTION + ROW * s.cells.len() as f64)
        .sum();
    let bottom = top + 8.0 + height + 6.0;
    for &(panel, start, end) in &frames {
        let title = Font::new(12.5, Color::Ink).bold();
        scene.text((start, top), of.panels[panel].as_str(), title);
        for tick in &axis.ticks {
            let x = start + (end - start) * axis.place(tick.value);
            let font = Font::new(TICK, Color::Muted).anchored(Anchor::Middle);
            let font = if tick.value == 1.0 { font.bold() } else { font };
            scene.text((x, bottom + 15.0), tick.label.as_str(), font);
        }
        let place = ((start + end) / 2.0, bottom + 32.0);
        let font = Font::new(TICK, Color::Muted).anchored(Anchor::Middle);
        let label = format!("time over {}'s, log scale; left is faster", of.reference);
        scene.text(place, label, font);
    }
    let mut y = top + 8.0;
    for section in &of.sections {
        y += SECTION;
        let font = Font::new(LABEL, Color::Ink).bold();
        scene.text((MARGIN, y - 8.0), section.title.as_str(), font);
        for &(_, start, end) in &frames {
            grid(scene, axis, (start, end), y, section.cells.len());
        }
        for cell in &section.cells {
            let middle = y + ROW / 2.0;
            let font = Font::new(TICK, Color::Ink);
            scene.text((MARGIN, middle + 4.0), cell.label.as_str(), font);
            for &(panel, start, end) in &frames {
                if let Some(ratios) = cell.panels.get(panel) {
                    let frame = (start, end);
                    row(scene, of, ratios, axis, frame, (middle, &cell.label));
                }
            }
            y += ROW;
        }
    }
    bottom + 34.0
}

/// A line for each of `count` rows, and over them those at the ticks; headings interrupt them.
fn grid(scene: &mut Scene, axis: &Axis, (start, end): (f64, f64), top: f64, count: usize) {
    for row in 0..count {
        let y = top + ROW * (row as f64 + 0.5);
        scene.line(vec![(start, y), (end, y)], Stroke::new(Color::Grid, 0.8));
    }
    let bottom = top + ROW * count as f64;
    for tick in &axis.ticks {
        let x = start + (end - start) * axis.place(tick.value);
        let stroke = if tick.value == 1.0 {
            Stroke::new(Color::Ink, 1.4)
        } else {
            Stroke::new(Color::Grid, 1.0)
        };
        scene.line(vec![(x, top), (x, bottom)], stroke);
    }
}

fn row(
    scene: &mut Scene,
    of: &Comparison,
    ratios: &[Ratio],
    axis: &Axis,
    (start, end): (f64, f64),
    (y, label): (f64, &str),
) {
    let x = |ratio: f64| start + (end - start) * axis.place(axis.clamp(ratio));
    // What the chart is about is drawn last, on top.
    for (index, name) in of.names.iter().enumerate().rev() {
        let Some(ratio) = ratios.iter().find(|r| r.name == *name) else {
            continue;
        };
        let center: Point = (x(ratio.ratio), y);
        let first = index == 0;
        if first {
            let (low, high) = ratio.interval;
            let color = look(0).color;
            whisker(scene, (x(low), y), (x(high), y), color);
            let digits = significant(ratio.ratio, 2);
            let font = Font::new(TICK, color).bold().anchored(Anchor::End);
            scene.text((end + DIGITS, y + 4.0), digits, font);
        }
        mark(scene, center, look(index), if first { 11.0 } else { 8.5 });
        let (low, high) = ratio.interval;
        let note = format!(
            "{name}, {label}\n{} of {} ({} to {})",
            significant(ratio.ratio, 3),
            of.reference,
            significant(low, 3),
            significant(high, 3)
        );
        scene.note(center, note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::scene::Shape;

    fn ratio(name: &str, ratio: f64) -> Ratio {
        Ratio {
            name: name.into(),
            ratio,
            interval: (ratio * 0.9, ratio * 1.1),
        }
    }

    #[test]
    fn faster_is_left_and_what_is_far_out_stays_inside() {
        let cell = ComparedCell {
            label: "1,8,512,64".into(),
            panels: vec![vec![ratio("ours", 0.5), ratio("slow", 900.0)]],
        };
        let of = Comparison {
            title: "t".into(),
            subtitle: "s".into(),
            reference: "Reference".into(),
            names: vec!["ours".into(), "slow".into()],
            panels: vec!["2 threads".into()],
            sections: vec![Section {
                title: "Forward".into(),
                cells: vec![cell],
            }],
        };
        let chart = comparison(&of);
        let notes: Vec<Point> = chart
            .wide
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Note { center, .. } => Some(*center),
                _ => None,
            })
            .collect();
        let [slow, ours] = notes[..] else {
            panic!("{notes:?}")
        };
        assert!(ours.0 < slow.0 && slow.0 < chart.wide.width - DIGITS);
        assert!(chart.svg().unwrap().contains("0.50"), "the ratio in digits");
        assert!(chart.narrow_svg().unwrap().contains("2 threads"));
    }
}
