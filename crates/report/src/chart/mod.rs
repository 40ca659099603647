//! Charts: each question one drawing, as SVG and PNG.

mod accuracy_latency;
mod axis;
mod comparison;
mod crossover;
mod entropy;
mod features;
mod growth;
mod labels;
mod ladder;
mod layout;
mod lines;
mod palette;
mod panel;
mod ranking;
mod render;
mod scene;
mod sparsity;
mod style;

pub use comparison::{ComparedCell, Comparison, Ratio, Section, comparison};
pub(crate) use palette::dark_rules;
pub use ranking::ranking_charts;

use crate::error::ReportError;
use crate::numbers;
use crate::settings::Settings;
use experiment::record::Record;
use layout::Layout;
use scene::Scene;
use std::path::Path;
use style::Styles;

/// A drawing and the sentence above it.
struct Drawing {
    scene: Scene,
    title: String,
}

/// One chart, drawn for wide and for narrow windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    name: &'static str,
    title: String,
    reading: &'static str,
    wide: Scene,
    narrow: Scene,
}

impl Chart {
    /// File name without ending: `accuracy-latency`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the chart shows, as a sentence.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How to read it.
    pub fn reading(&self) -> &'static str {
        self.reading
    }

    /// The chart as an SVG document on light paper.
    ///
    /// # Errors
    ///
    /// [`ReportError::Draw`] where the drawing library fails.
    pub fn svg(&self) -> Result<String, ReportError> {
        self.drawn(render::svg(&self.wide, &self.title))
    }

    /// The chart as an SVG document for windows as narrow as a telephone.
    ///
    /// # Errors
    ///
    /// [`ReportError::Draw`] where the drawing library fails.
    pub fn narrow_svg(&self) -> Result<String, ReportError> {
        self.drawn(render::svg(&self.narrow, &self.title))
    }

    /// Writes the chart as a PNG of two pixels a CSS pixel, at once or not at all.
    ///
    /// # Errors
    ///
    /// [`ReportError::Draw`] where the drawing library or the encoder fails, [`ReportError::Write`] where
    /// the file cannot be put in place.
    pub fn write_png(&self, path: &Path) -> Result<(), ReportError> {
        crate::files::replace(path, |unfinished| {
            self.drawn(render::png(&self.wide, unfinished))
        })
    }

    fn drawn<T>(&self, result: Result<T, String>) -> Result<T, ReportError> {
        result.map_err(|message| ReportError::Draw {
            chart: self.name.into(),
            message,
        })
    }
}

type Draw = fn(&Settings, &Styles, Layout) -> Option<Drawing>;

/// The chart that stands alone where there is something for it to show.
const LADDER: &str = "ladder";

/// Name, how to read it, how to draw it: in the order of the page.
const KINDS: [(&str, &str, Draw); 8] = [
    (LADDER, ladder::READING, ladder::draw),
    (
        "accuracy-latency",
        accuracy_latency::READING,
        accuracy_latency::draw,
    ),
    ("latency-length", growth::READING_LATENCY, |s, t, l| {
        growth::draw(s, t, l, &growth::LATENCY)
    }),
    ("crossover", crossover::READING, crossover::draw),
    ("features", features::READING, features::draw),
    ("sparsity", sparsity::READING, sparsity::draw),
    ("memory-length", growth::READING_MEMORY, |s, t, l| {
        growth::draw(s, t, l, &growth::MEMORY)
    }),
    ("accuracy-entropy", entropy::READING, entropy::draw),
];

/// The charts that `records` have something to say on, in the order to show them.
///
/// A chart is left out where its axis does not vary: no length axis, no chart against length. Records of a
/// ladder get its chart alone: it shows them all.
pub fn charts(records: &[Record]) -> Vec<Chart> {
    let settings = Settings::of(records);
    let styles = Styles::of(&settings);
    let mut drawn: Vec<Chart> = KINDS
        .iter()
        .filter_map(|&(name, reading, draw)| {
            let Drawing { scene: wide, title } = draw(&settings, &styles, Layout::WIDE)?;
            let narrow = draw(&settings, &styles, Layout::NARROW)?.scene;
            Some(Chart {
                name,
                title,
                reading,
                wide,
                narrow,
            })
        })
        .collect();
    if drawn.first().is_some_and(|chart| chart.name == LADDER) {
        drawn.truncate(1);
    }
    drawn
}

/// What a tooltip says of a record.
fn note(record: &Record) -> String {
    let mut lines = vec![record.variant.label.clone()];
    if let Some(latency) = &record.latency {
        lines.push(numbers::duration_with_interval(
            latency.median_ms,
            latency.interval_ms,
        ));
    }
    if let Some(accuracy) = &record.accuracy {
        lines.push(format!(
            "error {}, skill {}",
            numbers::error(accuracy.total.relative_frobenius),
            numbers::significant(accuracy.total.skill, 3)
        ));
    }
    lines.join("\n")
}
