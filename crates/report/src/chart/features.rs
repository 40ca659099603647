//! Error against the number of features, landmarks, rank or interests, with fitted slopes.

use super::axis::{Axis, length_ticks};
use super::layout::{Layout, heading};
use super::lines::{Guide, Line, LinePanel, Sample, draw_panels};
use super::scene::{Point, Scene, Stroke};
use super::style::Styles;
use super::{Drawing, note};
use crate::findings::{Features, Sweep, features, parameters, swept_label};
use crate::numbers::{exponent, list, skill};
use crate::settings::Settings;
use std::collections::BTreeSet;

/// Panels beyond these are left to the table.
const MOST_PANELS: usize = 8;

/// Draws the chart; `None` where no variant was judged at three values of a parameter of its own.
pub(crate) fn draw(settings: &Settings, styles: &Styles, layout: Layout) -> Option<Drawing> {
    let all = features(settings);
    let points = || {
        all.iter()
            .flat_map(|(_, f)| f.sweeps.iter().flat_map(|s| &s.points))
    };
    let values: BTreeSet<usize> = points().map(|p| p.value as usize).collect();
    let (first, last) = (*values.first()? as f64, *values.last()? as f64);
    let values: Vec<usize> = values.into_iter().collect();
    let names = parameters(all.iter().map(|(_, f)| f)).join(", ");
    let mut x = Axis::log(&[first, last], &format!("m: {names}"), |_, _| Vec::new())?;
    x.ticks = length_ticks(&values, if layout.columns == 1 { 5 } else { 8 });
    let level = all.iter().flat_map(|(_, f)| &f.level);
    let mut errors: Vec<f64> = points()
        .chain(level)
        .flat_map(|p| [p.interval.0, p.error, p.interval.1])
        .collect();
    let theory = |f: &Features| f.sweeps.iter().find_map(|s| theory(s, last));
    errors.extend(
        all.iter()
            .filter_map(|(_, f)| Some(theory(f)?.points.last()?.1)),
    );
    let (y, _) = Axis::error(&errors, "relative Frobenius error   ↓ better")?;
    let panels = all.iter().take(MOST_PANELS).map(|(setting, found)| {
        let level = found.level.iter().map(|p| {
            let style = styles.get(p.draws[0]);
            Guide {
                points: vec![(first, p.error), (last, p.error)],
                label: format!("{}  skill {}", swept_label(p.draws[0], ""), skill(p.skill)),
                stroke: Stroke::new(style.color, 1.5).dashed(style.dash),
            }
        });
        LinePanel {
            title: settings.setting_label(setting),
            x: x.clone(),
            y: y.clone(),
            lines: found.sweeps.iter().map(|s| line(s, styles)).collect(),
            guides: theory(found).into_iter().chain(level).collect(),
        }
    });
    let panels: Vec<LinePanel> = panels.collect();
    let title = title(&all.iter().map(|(_, f)| f).collect::<Vec<_>>());
    let mut subtitle = format!(
        "{} · m^s: slope fitted to all draws · skill at the largest m · bars: 95 % intervals",
        settings.shared()
    );
    if all.len() > MOST_PANELS {
        subtitle += &format!(" · {MOST_PANELS} of {} settings drawn", all.len());
    }
    let mut scene = Scene::new(layout.width);
    let top = heading(&mut scene, &title, &subtitle);
    scene.height = draw_panels(&mut scene, panels, layout, 2, top);
    Some(Drawing { scene, title })
}

/// The line that theory promises, through the first point of `sweep`.
fn theory(sweep: &Sweep, last: f64) -> Option<Guide> {
    let (theory, first) = (sweep.theory?, sweep.points.first()?);
    let from: Point = (first.value as f64, first.error);
    let at_last = from.1 * (last / from.0).powf(theory.exponent);
    Some(Guide::dashed(vec![from, (last, at_last)], theory.label))
}

fn line(sweep: &Sweep, styles: &Styles) -> Line {
    let sample = |p: &crate::findings::FeaturePoint| Sample {
        x: p.value as f64,
        y: p.error,
        interval: Some(p.interval),
        note: format!("{}\n{} = {}", note(p.draws[0]), sweep.parameter, p.value),
    };
    let fit = sweep.fit.map(|f| format!("m^{}, ", exponent(f.exponent)));
    let last = &sweep.points[sweep.points.len() - 1];
    Line {
        label: format!(
            "{}  {}skill {}",
            sweep.label,
            fit.unwrap_or_default(),
            skill(last.skill)
        ),
        style: styles.get(sweep.points[0].draws[0]),
        crossed: None,
        samples: sweep.points.iter().map(sample).collect(),
    }
}

/// Whether theory holds; where there is none, which error falls fastest.
fn title(all: &[&Features]) -> String {
    let sweeps = || all.iter().flat_map(|f| &f.sweeps);
    let judged: Vec<(&Sweep, bool)> = sweeps().filter_map(|s| Some((s, s.agrees()?))).collect();
    if let [(only, agrees)] = judged.as_slice()
        && let (Some(fit), Some(theory)) = (only.fit, only.theory)
    {
        return format!(
            "The error of {} falls as {}^{}: the theory's {} lies {} the 95 % interval",
            only.label,
            only.parameter,
            exponent(fit.exponent),
            theory.exponent,
            if *agrees { "within" } else { "outside" }
        );
    }
    if let [(first, _), ..] = judged.as_slice()
        && let Some(theory) = first.theory
    {
        let fits = judged.len();
        let within = match judged.iter().filter(|(_, agrees)| *agrees).count() {
            0 => format!("in none of {fits} settings"),
            n if n == fits => format!("in all {fits} settings"),
            n => format!("in {n} of {fits} settings"),
        };
        let mut names: Vec<String> = judged.iter().map(|(s, _)| s.label.clone()).collect();
        names.sort();
        names.dedup();
        return format!(
            "The error of {} falls as theory says, as m^{}, {within}",
            list(&names),
            theory.exponent,
        );
    }
    let fitted = sweeps().filter_map(|s| Some((s, s.fit?.exponent)));
    match fitted.min_by(|a, b| a.1.total_cmp(&b.1)) {
        Some((steepest, power)) => format!(
            "The error of {} falls fastest, as {}^{}",
            steepest.label,
            steepest.parameter,
            exponent(power)
        ),
        None => "Error against what an approximation is given".into(),
    }
}

/// How to read the chart.
pub(crate) const READING: &str = "One line a variant, both axes logarithmic: the error against the number \
     of features, landmarks, interests or the rank that the variant is given, each its own parameter. Where a seed draws the \
     variant anew, a point is the geometric mean over the draws. The number after each name is the slope fitted \
     to its draws; variants without such a parameter are level. Thin and dashed, through the first point of favor: the \
     error of a mean of m independent features without bias, m^(-1/2). Skill says whether an error is of use: 0 is no better \
     than averaging the values, whatever the error.";
