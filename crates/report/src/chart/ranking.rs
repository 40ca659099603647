//! What an attention costs in ranking and buys in time: a point a variant, trained with it or swapped in.

mod points;

use super::axis::{Axis, Tick, time_ticks};
use super::layout::{Layout, MARGIN, heading, legend};
use super::panel::Panel;
use super::scene::Scene;
use super::style::Styles;
use super::{Chart, Drawing};
use attention_variants::VARIANTS;
use experiment::study::{LatencyKind, LatencyPoint, Origin, StudyResults};
use points::draw_marks;
use recommender::Metric;

const READING: &str = "A point is an attention in the same model: to the right what it takes, upwards how well it \
     ranks. Left and high is better. Filled markers were trained with the attention; hollow ones were trained with \
     the exact one, which was then replaced without training on. Bars are 95 % intervals, upright by bootstrap over \
     users, which holds what differs between users and not what differs between seeds.";

/// A variant of a model, at one latency.
struct Mark<'a> {
    name: &'a str,
    swapped: bool,
    x: (f64, (f64, f64)),
    y: (f64, (f64, f64)),
}

/// The chart of a study whose variants were timed; none where fewer than two were.
pub fn ranking_charts(study: &StudyResults, metric: Metric) -> Vec<Chart> {
    let draw = |layout| draw(study, metric, layout);
    let chart = draw(Layout::WIDE).and_then(|wide| {
        let narrow = draw(Layout::NARROW)?;
        Some(Chart {
            name: "ranking-latency",
            title: wide.title,
            reading: READING,
            wide: wide.scene,
            narrow: narrow.scene,
        })
    });
    chart.into_iter().collect()
}

fn draw(study: &StudyResults, metric: Metric, layout: Layout) -> Option<Drawing> {
    let styles = styles(study);
    let panels: Vec<(String, Vec<Mark<'_>>)> = columns(study)
        .into_iter()
        .map(|(kind, length)| {
            (
                title(study, kind, length),
                marks(study, metric, kind, length),
            )
        })
        .filter(|(_, marks)| marks.len() > 1)
        .collect();
    if panels.is_empty() {
        return None;
    }
    let words = format!("{metric} against latency");
    let subtitle = format!(
        "{} · filled: trained with the attention · hollow: swapped in · bars: 95 % intervals",
        study.info.log.0
    );
    let mut scene = Scene::new(layout.width);
    let top = heading(&mut scene, &words, &subtitle);
    let shown = |name: &str| {
        panels
            .iter()
            .any(|(_, marks)| marks.iter().any(|m| m.name == name))
    };
    let top = legend(&mut scene, &styles, shown, top);
    let columns = layout.columns_for(panels.len(), 2);
    let cell = (layout.width - MARGIN) / columns as f64;
    let (height, above) = (380.0, 34.0);
    let pitch = height + above + 64.0;
    let all = || panels.iter().flat_map(|(_, marks)| marks);
    let low = all().map(|m| m.y.1.0).fold(f64::INFINITY, f64::min);
    let high = all().map(|m| m.y.1.1).fold(0.0, f64::max);
    let y = metric_axis(low, high, &format!("{metric}   ↑ better"));
    for (i, (title, marks)) in panels.iter().enumerate() {
        let times: Vec<f64> = marks
            .iter()
            .flat_map(|m| [m.x.0, m.x.1.0, m.x.1.1])
            .collect();
        let panel = Panel {
            left: 80.0 + (i % columns) as f64 * cell,
            top: top + above + (i / columns) as f64 * pitch,
            width: cell - 92.0,
            height,
            x: Axis::log(&times, "← faster   median latency", time_ticks)?,
            y: y.clone(),
        };
        panel.frame(&mut scene, std::slice::from_ref(title), i % columns == 0);
        draw_marks(&mut scene, &panel, marks, &styles);
    }
    scene.height = top + panels.len().div_ceil(columns) as f64 * pitch - 8.0;
    Some(Drawing {
        scene,
        title: words,
    })
}

/// Steps, and answers of each length; where states of users are kept, these stand beside the requests of the same
/// length, and the steps behind them.
fn columns(study: &StudyResults) -> Vec<(LatencyKind, usize)> {
    let mut found: Vec<(LatencyKind, usize)> = Vec::new();
    for point in &study.latency {
        let is_new = match point.kind {
            LatencyKind::Step => found.iter().all(|(kind, _)| *kind != LatencyKind::Step),
            _ => !found.contains(&(point.kind, point.length)),
        };
        if is_new {
            found.push((point.kind, point.length));
        }
    }
    if found.iter().any(|(kind, _)| *kind == LatencyKind::Event) {
        found.sort_by_key(|(kind, _)| *kind == LatencyKind::Step);
    }
    found
}

fn title(study: &StudyResults, kind: LatencyKind, length: usize) -> String {
    let of = study.latency.iter().find(|p| p.kind == kind);
    match (kind, of) {
        (LatencyKind::Step, Some(point)) => {
            format!("a training step of {} histories", point.batch)
        }
        (LatencyKind::Event, _) => format!("a request after {length} events, state kept"),
        _ => format!("a request after {length} events"),
    }
}

fn marks(study: &StudyResults, metric: Metric, kind: LatencyKind, length: usize) -> Vec<Mark<'_>> {
    let timed = |model: &str, variant: &str| -> Option<&LatencyPoint> {
        study.latency.iter().find(|point| {
            let same = point.kind == kind && (kind == LatencyKind::Step || point.length == length);
            same && point.model == model && point.variant.as_deref() == Some(variant)
        })
    };
    let first_seed = |model: &str, variant: &str| {
        let mut of = study.outcomes.iter().filter(|o| {
            let made = &o.made;
            made.origin == Origin::Trained
                && made.model == model
                && made.variant.as_deref() == Some(variant)
        });
        of.next().map(|o| o.made.seed)
    };
    let mark = |outcome: &'_ experiment::study::Outcome| {
        let made = &outcome.made;
        let variant = made.variant.as_deref()?;
        let swapped = made.origin == Origin::Swapped;
        let is_drawn = swapped
            || (made.origin == Origin::Trained
                && first_seed(&made.model, variant) == Some(made.seed));
        let (point, value) = (timed(&made.model, variant)?, outcome.estimate(metric)?);
        is_drawn.then_some((
            swapped,
            (point.median_ms, point.interval_ms),
            (value.value, (value.low, value.high)),
        ))
    };
    let outcomes = study.outcomes.iter();
    outcomes
        .filter_map(|outcome| {
            let (swapped, x, y) = mark(outcome)?;
            let name = outcome.made.variant.as_deref()?;
            Some(Mark {
                name,
                swapped,
                x,
                y,
            })
        })
        .collect()
}

/// Looks by the registry's families; a label that is no registered name counts as its own family.
fn styles(study: &StudyResults) -> Styles {
    let mut all = Vec::new();
    for outcome in &study.outcomes {
        let Some(name) = outcome.made.variant.as_deref() else {
            continue;
        };
        // A label begins with the name of its variant: `favor-64` is of the family of `favor`.
        let known = VARIANTS
            .iter()
            .filter(|v| name.starts_with(v.name))
            .max_by_key(|v| v.name.len());
        let family = known.map_or("other", |v| v.family.name());
        all.push([family, name, name]);
    }
    let mut styles = Styles::assign(all);
    for (_, style) in &mut styles.names {
        style.filled = true;
    }
    styles
}

/// An axis of a metric, with ticks at round values.
fn metric_axis(low: f64, high: f64, label: &str) -> Axis {
    let (low, high) = if high > low { (low, high) } else { (0.0, 1.0) };
    let room = 0.06 * (high - low);
    let (low, high) = ((low - room).max(0.0), high + room);
    let step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
        .into_iter()
        .find(|step| (high - low) / step <= 8.0)
        .unwrap_or(0.5);
    let mut axis = Axis::linear(low, high, step, label);
    for Tick { value, label } in &mut axis.ticks {
        *label = format!("{value:.3}");
    }
    axis
}
