//! Rungs of a ladder: how much of the machine's peak each reaches, and at what error.

use super::axis::{Axis, Tick, error_ticks};
use super::layout::{Layout, MARGIN, TICK, TITLE_PITCH, heading, title_lines, wrap};
use super::palette::Color;
use super::render::text_width;
use super::scene::{Anchor, Font, Point, Scene, Stroke};
use super::style::{Styles, mark, whisker};
use super::{Drawing, note};
use crate::findings::{Rung, peak_name, rungs, share_words, status_words, summit};
use crate::numbers::{self, significant};
use crate::settings::{Setting, Settings};
use std::collections::BTreeMap;

/// Panels beyond these are left to the table.
const MOST_PANELS: usize = 6;
/// Size of names and numbers.
const SIZE: f64 = 12.0;
/// Room for the numbers behind the longest bar.
const NUMBERS: f64 = 92.0;
/// Between bars and errors, and between panels.
const GAP: f64 = 22.0;
/// Errors that the axis spans at least, so that ladders compare at a glance.
const ERRORS: [f64; 2] = [1e-7, 1e-2];

/// Sizes of a row and what stands in it.
struct Rows<'a> {
    /// Names by place on the ladder.
    names: BTreeMap<usize, &'a str>,
    /// Whether names stand above their bars, for want of room beside them.
    above: bool,
    pitch: f64,
    bar: f64,
}

impl Rows<'_> {
    /// Middle of the bar of row `i`, below the top of the first row.
    fn middle(&self, i: usize) -> f64 {
        let down = if self.above { 0.68 } else { 0.5 };
        (i as f64 + down) * self.pitch
    }

    fn height(&self) -> f64 {
        self.names.len() as f64 * self.pitch
    }
}

/// Where a panel's columns are.
struct Columns {
    left: f64,
    top: f64,
    bars: f64,
    errors_left: f64,
    errors: f64,
    share: Axis,
    error: Axis,
}

/// Draws the chart; `None` where no two rungs of a setting were timed.
pub(crate) fn draw(settings: &Settings, styles: &Styles, layout: Layout) -> Option<Drawing> {
    let mut ladders: Vec<(&Setting, Vec<Rung>)> = settings
        .all
        .iter()
        .map(|s| (s, rungs(s)))
        .filter(|(_, rungs)| !rungs.is_empty())
        .collect();
    let total = ladders.len();
    ladders.truncate(MOST_PANELS);
    let all = || ladders.iter().flat_map(|(_, rungs)| rungs);
    let names: BTreeMap<usize, &str> = all()
        .filter_map(|r| Some((r.record.variant.rung?, r.record.variant.label.as_str())))
        .collect();
    let most = all().filter_map(|r| r.share).fold(0.0, f64::max);
    let errors: Vec<f64> = all().filter_map(Rung::error).chain(ERRORS).collect();
    let error = Axis::log(&errors, "relative error   ← better", sparse_error_ticks)?;
    if ladders.is_empty() {
        return None;
    }
    let title = summit(settings);
    let mut subtitle = format!(
        "{} · ×: times as fast as the rung above · whiskers: 95 % intervals",
        settings.shared()
    );
    if total > MOST_PANELS {
        subtitle += &format!(" · {MOST_PANELS} of {total} settings drawn");
    }
    let mut scene = Scene::new(layout.width);
    let top = heading(&mut scene, &title, &subtitle);

    let columns = layout.columns_for(ladders.len(), 2);
    let above = layout.columns == 1;
    let widest = names
        .values()
        .map(|n| text_width(n, SIZE, false))
        .fold(0.0, f64::max);
    let rows = Rows {
        names,
        above,
        pitch: if above { 42.0 } else { 33.0 },
        bar: if above { 15.0 } else { 17.0 },
    };
    let beside = if above { 0.0 } else { widest + 14.0 };
    let room = layout.width - 2.0 * MARGIN - beside - GAP * 1.5 * (columns - 1) as f64;
    let width = room / columns as f64;
    let errors = (0.27 * width).clamp(84.0, 200.0);
    let titles: Vec<Vec<String>> = ladders
        .iter()
        .map(|(s, _)| title_lines(&settings.setting_label(s), width))
        .collect();
    let more = titles.iter().map(Vec::len).max().unwrap_or(1).max(1) - 1;
    let heights = 34.0 + TITLE_PITCH * more as f64 + rows.height() + 76.0;
    for (i, ((setting, rungs), title)) in ladders.iter().zip(&titles).enumerate() {
        let (column, row) = (i % columns, i / columns);
        let left = MARGIN + beside + column as f64 * (width + GAP * 1.5);
        let place = Columns {
            left,
            top: top + heights * row as f64 + 34.0 + TITLE_PITCH * more as f64,
            bars: width - errors - GAP - NUMBERS,
            errors_left: left + width - errors,
            errors,
            share: Axis::share(most, &axis_label(setting, rungs)),
            error: error.clone(),
        };
        for (line, text) in title.iter().enumerate() {
            let y = place.top - 14.0 - TITLE_PITCH * (title.len() - 1 - line) as f64;
            scene.text((left, y), text.clone(), Font::new(12.5, Color::Ink).bold());
        }
        place.frame(&mut scene, &rows, column == 0);
        place.rungs(&mut scene, &rows, rungs, styles);
    }
    scene.height = top + heights * ladders.len().div_ceil(columns) as f64;
    Some(Drawing { scene, title })
}

/// Writes on a strip of paper, so that no line strikes through, and returns the width.
fn written(scene: &mut Scene, (x, y): Point, words: &str, font: Font) -> f64 {
    let width = text_width(words, font.size, font.bold);
    let (left, right) = (x - 2.0, x + width + 2.0);
    let (top, bottom) = (y - 0.85 * font.size, y + 0.2 * font.size);
    let strip = [(left, top), (right, top), (right, bottom), (left, bottom)];
    scene.polygon(strip.into(), Color::Paper, 1.0);
    scene.text((x, y), words, font);
    width
}

/// Every second decade: 10⁻⁷, 10⁻⁵, 0.1 %.
fn sparse_error_ticks(low: f64, high: f64) -> Vec<Tick> {
    let odd = |tick: &Tick| (tick.value.log10().round() as i32).rem_euclid(2) == 1;
    let decade = |tick: &Tick| (tick.value.log10() - tick.value.log10().round()).abs() < 1e-9;
    let ticks = error_ticks(low, high).into_iter();
    ticks.filter(|t| decade(t) && odd(t)).collect()
}

/// `share of the f32 FMA peak of one thread (272 GFLOP/s)   → better`.
fn axis_label(setting: &Setting, rungs: &[Rung]) -> String {
    let peak = rungs.iter().find_map(|r| {
        let latency = r.record.latency.as_ref()?;
        Some(latency.gflops / r.share?)
    });
    let peak = peak.map_or_else(String::new, |p| format!(" ({p:.0} GFLOP/s)"));
    format!(
        "share of the {}{peak}   → better",
        peak_name(setting.condition.threads())
    )
}

impl Columns {
    /// Grid, ticks, labels of the axes and, in the first column, names.
    fn frame(&self, scene: &mut Scene, rows: &Rows, first: bool) {
        let bottom = self.top + rows.height();
        let hair = Stroke::new(Color::Grid, 1.0);
        for (left, width, axis) in [
            (self.left, self.bars, &self.share),
            (self.errors_left, self.errors, &self.error),
        ] {
            for tick in &axis.ticks {
                let x = left + axis.place(tick.value) * width;
                scene.line(vec![(x, self.top), (x, bottom)], hair);
                let font = Font::new(TICK, Color::Muted).anchored(Anchor::Middle);
                scene.text((x, bottom + 16.0), tick.label.clone(), font);
            }
            let room = if left == self.left {
                width + NUMBERS
            } else {
                width + 12.0
            };
            for (i, line) in wrap(&axis.label, room, TICK, false).into_iter().enumerate() {
                let y = bottom + 34.0 + 15.0 * i as f64;
                scene.text((left, y), line, Font::new(TICK, Color::Muted));
            }
        }
        for (i, name) in rows.names.values().enumerate() {
            let y = self.top + rows.middle(i);
            if rows.above {
                let at = (self.left, y - rows.bar / 2.0 - 5.0);
                written(scene, at, name, Font::new(SIZE, Color::Ink));
            } else if first {
                let font = Font::new(SIZE, Color::Ink).anchored(Anchor::End);
                scene.text((self.left - 14.0, y + SIZE * 0.36), *name, font);
            }
        }
        let zero = vec![(self.left, self.top), (self.left, bottom)];
        scene.line(zero, Stroke::new(Color::Axis, 1.0));
        let whole = self.left + self.share.place(1.0) * self.bars;
        let peak = Stroke::new(Color::Reference, 1.5).dashed(&[5.0, 4.0]);
        scene.line(vec![(whole, self.top), (whole, bottom)], peak);
    }

    fn rungs(&self, scene: &mut Scene, rows: &Rows, rungs: &[Rung], styles: &Styles) {
        let mut before: Option<(f64, f64)> = None;
        for rung in rungs {
            let place = rows
                .names
                .keys()
                .position(|p| Some(*p) == rung.record.variant.rung);
            let y = self.top + rows.middle(place.unwrap_or(0));
            let end = self.bar(scene, rows, rung, y, styles);
            // The riser of the stair; names above the bars would be struck through by it.
            if let (Some((x, from)), Some(_), false) = (before, end, rows.above) {
                let riser = vec![(x, from + rows.bar / 2.0), (x, y - rows.bar / 2.0)];
                scene.line(riser, Stroke::new(Color::Axis, 1.0));
            }
            before = end.map(|x| (x, y));
            self.error(scene, rung, y, styles);
        }
    }

    /// Draws a bar with its numbers and returns where it ends; what has no time says so.
    fn bar(
        &self,
        scene: &mut Scene,
        rows: &Rows,
        rung: &Rung,
        y: f64,
        styles: &Styles,
    ) -> Option<f64> {
        let baseline = y + SIZE * 0.36;
        let Some((share, latency)) = rung.share.zip(rung.record.latency.as_ref()) else {
            let words = status_words(rung.record);
            scene.text(
                (self.left + 7.0, baseline),
                words,
                Font::new(SIZE, Color::Muted),
            );
            return None;
        };
        let at = |share: f64| self.left + self.share.place(share) * self.bars;
        let (x, half) = (at(share), rows.bar / 2.0);
        let color = styles.get(rung.record).color;
        let corners = [
            (self.left, y - half),
            (x, y - half),
            (x, y + half),
            (self.left, y + half),
        ];
        scene.polygon(corners.into(), color, 1.0);
        let (fast, slow) = latency.interval_ms;
        let (low, high) = (
            share * latency.median_ms / slow,
            share * latency.median_ms / fast,
        );
        whisker(scene, (at(low), y), (at(high), y), Color::Ink);
        let mut next = at(high).max(x) + 7.0;
        let bold = Font::new(SIZE, Color::Ink).bold();
        next += written(scene, (next, baseline), &share_words(share), bold) + 8.0;
        if let Some(step) = rung.step {
            let words = format!("×{}", significant(step.median, 3));
            let font = Font::new(SIZE, Color::Muted);
            written(scene, (next, baseline), &words, font);
        }
        scene.note((x, y), self.words(rung));
        Some(x)
    }

    fn error(&self, scene: &mut Scene, rung: &Rung, y: f64, styles: &Styles) {
        let Some((error, accuracy)) = rung.error().zip(rung.record.accuracy.as_ref()) else {
            return;
        };
        let at =
            |error: f64| self.errors_left + self.error.place(self.error.clamp(error)) * self.errors;
        let x = at(error);
        let style = styles.get(rung.record);
        let (low, high) = accuracy.relative_frobenius_interval;
        whisker(scene, (at(low), y), (at(high), y), style.color);
        mark(scene, (x, y), style, 9.0);
        let words = numbers::error(error);
        let fits =
            x + 9.0 + text_width(&words, SIZE - 1.0, false) <= self.errors_left + self.errors + 8.0;
        let (x_text, anchor) = if fits {
            (x + 9.0, Anchor::Start)
        } else {
            (x - 9.0, Anchor::End)
        };
        let font = Font::new(SIZE - 1.0, Color::Ink).anchored(anchor);
        scene.text((x_text, y + SIZE * 0.33), words, font);
        scene.note((x, y), self.words(rung));
    }

    /// What a tooltip says.
    fn words(&self, rung: &Rung) -> String {
        let mut words = note(rung.record);
        if let Some(step) = rung.step {
            let gain = numbers::speedup(step.median, step.interval);
            words += &format!("\n{gain} the rung above");
        }
        words
    }
}

/// How to read the chart.
pub(crate) const READING: &str = "Each row is a rung: the same attention, computed with one thing more than in \
     the row above. Its bar is the share of the machine's own multiply-add peak in single precision that it \
     turns into attention, counting the operations of the definition (two for each multiply-add of QKᵀ and PV, \
     four a score for the softmax), whatever the kernel does; the dashed line is that peak, measured in the same \
     run. Arithmetic on shorter numbers has a higher peak and may cross it. ×: times as fast as the rung above, \
     within rounds. The point beside the bar is the error that the rung pays, on a logarithmic axis.";
