//! How each variant looks, the same in every chart of a report.

use super::palette::{Color, FAMILIES, family_index};
use super::scene::{Point, Scene, Stroke};
use crate::order::natural;
use crate::settings::Settings;
use experiment::record::Record;
use std::collections::BTreeMap;

/// The shape of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Disc,
    Square,
    Triangle,
    Diamond,
    Down,
    Cross,
}

const MARKERS: [Marker; 6] = [
    Marker::Square,
    Marker::Disc,
    Marker::Triangle,
    Marker::Diamond,
    Marker::Down,
    Marker::Cross,
];

const DASHES: [&[f64]; 4] = [&[], &[7.0, 3.0], &[2.5, 2.5], &[9.0, 3.0, 2.5, 3.0]];

/// Look of one label: colour by family, marker and tint by name, dash by parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Style {
    pub(crate) color: Color,
    pub(crate) marker: Marker,
    /// Whether the marker is filled; the second half dozen names are hollow.
    pub(crate) filled: bool,
    pub(crate) dash: &'static [f64],
}

/// The looks of all variants of a report.
#[derive(Debug, Clone)]
pub(crate) struct Styles {
    /// Names in the order of the legend, each with the look of its first label.
    pub(crate) names: Vec<(String, Style)>,
    labels: BTreeMap<String, Style>,
}

impl Styles {
    /// Assigns a look to every variant in `settings`, independent of the order of the records.
    pub(crate) fn of(settings: &Settings) -> Self {
        let variants = settings
            .all
            .iter()
            .flat_map(|s| s.records.iter().map(|r| &r.variant))
            .map(|v| [&v.family, &v.name, &v.label].map(String::as_str));
        Self::assign(variants.collect())
    }

    /// Assigns a look to every \[family, name, label\], independent of their order.
    pub(crate) fn assign(mut variants: Vec<[&str; 3]>) -> Self {
        let rank = |family: &str| {
            FAMILIES
                .iter()
                .position(|f| *f == family)
                .unwrap_or(FAMILIES.len())
        };
        variants.sort_by(|a, b| {
            (rank(a[0]), a[0])
                .cmp(&(rank(b[0]), b[0]))
                .then_with(|| natural(a[1], b[1]))
                .then_with(|| natural(a[2], b[2]))
        });
        variants.dedup_by(|a, b| a[2] == b[2]);

        let mut others: Vec<String> = Vec::new();
        for &[family, ..] in &variants {
            if rank(family) == FAMILIES.len() && others.last().is_none_or(|last| last != family) {
                others.push(family.to_owned());
            }
        }
        let mut names: Vec<(String, Style)> = Vec::new();
        let mut labels = BTreeMap::new();
        let mut family = "";
        let (mut in_family, mut in_name) = (0, 0);
        for [its_family, name, label] in variants {
            let same_family = its_family == family;
            if same_family && names.last().is_some_and(|(last, _)| last == name) {
                in_name += 1;
            } else {
                in_family = if same_family { in_family + 1 } else { 0 };
                in_name = 0;
                family = its_family;
            }
            let place = names.len() - usize::from(in_name > 0);
            let index = family_index(its_family, &others);
            let style = Style {
                color: Color::Family(index, in_family % 3),
                marker: MARKERS[place % MARKERS.len()],
                filled: (place / MARKERS.len()).is_multiple_of(2),
                dash: DASHES[(in_family + in_name) % DASHES.len()],
            };
            if in_name == 0 {
                names.push((name.to_owned(), style));
            }
            labels.insert(label.to_owned(), style);
        }
        Styles { names, labels }
    }

    /// The look of a record's variant.
    pub(crate) fn get(&self, record: &Record) -> Style {
        self.of_label(&record.variant.label)
    }

    /// The look of a label.
    pub(crate) fn of_label(&self, label: &str) -> Style {
        self.labels.get(label).copied().unwrap_or(Style {
            color: Color::Ink,
            marker: Marker::Disc,
            filled: true,
            dash: &[],
        })
    }

    /// Place in the legend: for drawing and listing in one order.
    pub(crate) fn position(&self, record: &Record) -> usize {
        self.names
            .iter()
            .position(|(name, _)| *name == record.variant.name)
            .unwrap_or(usize::MAX)
    }
}

/// Draws a marker of about `size` pixels across, with a rim of paper to part it from what is below.
pub(crate) fn mark(scene: &mut Scene, center: Point, style: Style, size: f64) {
    if style.marker == Marker::Disc {
        disc(scene, center, size / 2.0 + 1.2, Color::Paper);
        disc(scene, center, size / 2.0, style.color);
        if !style.filled {
            disc(scene, center, size / 2.0 - 1.8, Color::Paper);
        }
        return;
    }
    scene.polygon(outline(style.marker, center, size + 2.6), Color::Paper, 1.0);
    scene.polygon(outline(style.marker, center, size), style.color, 1.0);
    if !style.filled {
        scene.polygon(outline(style.marker, center, size - 4.2), Color::Paper, 1.0);
    }
}

fn disc(scene: &mut Scene, center: Point, radius: f64, color: Color) {
    scene.shapes.push(super::scene::Shape::Disc {
        center,
        radius,
        color,
    });
}

/// The marker in a ring: a place of the line that is not a sample.
pub(crate) fn ring(scene: &mut Scene, center: Point, style: Style) {
    disc(scene, center, 9.0, Color::Paper);
    disc(scene, center, 8.0, style.color);
    disc(scene, center, 6.8, Color::Paper);
    mark(scene, center, style, 6.5);
}

/// Corners of the marker; sizes are balanced so that areas look alike.
fn outline(marker: Marker, (x, y): Point, size: f64) -> Vec<Point> {
    let unit: &[Point] = match marker {
        Marker::Square | Marker::Disc => {
            &[(-0.45, -0.45), (0.45, -0.45), (0.45, 0.45), (-0.45, 0.45)]
        }
        Marker::Triangle => &[(0.0, -0.62), (0.57, 0.42), (-0.57, 0.42)],
        Marker::Down => &[(0.0, 0.62), (0.57, -0.42), (-0.57, -0.42)],
        Marker::Diamond => &[(0.0, -0.64), (0.64, 0.0), (0.0, 0.64), (-0.64, 0.0)],
        Marker::Cross => &[
            (-0.2, -0.6),
            (0.2, -0.6),
            (0.2, -0.2),
            (0.6, -0.2),
            (0.6, 0.2),
            (0.2, 0.2),
            (0.2, 0.6),
            (-0.2, 0.6),
            (-0.2, 0.2),
            (-0.6, 0.2),
            (-0.6, -0.2),
            (-0.2, -0.2),
        ],
    };
    unit.iter()
        .map(|(dx, dy)| (x + dx * size, y + dy * size))
        .collect()
}

/// An error bar between two points.
pub(crate) fn whisker(scene: &mut Scene, from: Point, to: Point, color: Color) {
    scene.line(vec![from, to], Stroke::new(color, 1.25).faded(0.7));
}
