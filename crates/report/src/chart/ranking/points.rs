//! The points of a panel, and their names.

use super::Mark;
use crate::chart::labels::{Label, draw_labels};
use crate::chart::panel::{Block, Panel};
use crate::chart::scene::Scene;
use crate::chart::style::{Style, Styles, mark, whisker};
use crate::numbers::duration_with_interval;

/// A variant swapped in stands right above or below the same variant trained: within this share of the panel's height
/// one name does for both.
const ONE_NAME: f64 = 0.33;

pub(super) fn draw_marks(scene: &mut Scene, panel: &Panel, marks: &[Mark<'_>], styles: &Styles) {
    let (mut taken, mut bars) = (Vec::new(), Vec::new());
    let mut labels = Vec::new();
    for m in marks {
        let style = style(styles, m);
        let place = panel.at(m.x.0, m.y.0);
        let (low, high) = (panel.at(m.x.0, m.y.1.0), panel.at(m.x.0, m.y.1.1));
        whisker(scene, low, high, style.color);
        taken.push(Block::around(place, 6.0));
        bars.extend(Block::along(&[low, high]));
        labels.push(Label {
            at: place,
            reach: (place.0, place.0),
            upright: Some((high.1, low.1)),
            text: m.name,
            color: style.color,
        });
    }
    for m in marks {
        let place = panel.at(m.x.0, m.y.0);
        mark(scene, place, style(styles, m), 10.0);
        let how = if m.swapped { "swapped in" } else { "trained" };
        let time = duration_with_interval(m.x.0, m.x.1);
        let (value, (low, high)) = m.y;
        let note = format!(
            "{}, {how}\n{value:.4} ({low:.4} to {high:.4})\n{time}",
            m.name
        );
        scene.note(place, note);
    }
    let (trained, swapped): (Vec<_>, Vec<_>) = labels
        .into_iter()
        .zip(marks)
        .partition(|(_, mark)| !mark.swapped);
    let near = |a: &Label<'_>, b: &Label<'_>| {
        let (across, along) = (a.at.0 - b.at.0, a.at.1 - b.at.1);
        a.text == b.text && across.abs() < 1.0 && along.abs() < ONE_NAME * panel.height
    };
    let mut order: Vec<Label<'_>> = trained.into_iter().map(|(label, _)| label).collect();
    for (label, _) in swapped {
        if !order.iter().any(|other| near(other, &label)) {
            order.push(label);
        }
    }
    draw_labels(scene, panel, &order, taken, &bars);
}

fn style(styles: &Styles, mark: &Mark<'_>) -> Style {
    Style {
        filled: !mark.swapped,
        ..styles.of_label(mark.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::metric_axis;
    use super::*;
    use crate::chart::axis::{Axis, time_ticks};
    use crate::chart::render::text_width;
    use crate::chart::scene::Shape;

    /// Names and places of what is written for variants (name, time, metric trained, metric swapped in).
    fn written(variants: &[(&'static str, f64, f64, Option<f64>)]) -> Vec<(String, Block)> {
        let around = |y: f64| (y, (y - 0.03, y + 0.03));
        let marks = variants.iter().flat_map(|&(name, time, trained, swapped)| {
            let mark = move |swapped, y| Mark {
                name,
                swapped,
                x: (time, (time, time)),
                y: around(y),
            };
            let swapped = swapped.map(|y| mark(true, y));
            [Some(mark(false, trained)), swapped].into_iter().flatten()
        });
        let marks: Vec<Mark<'_>> = marks.collect();
        let panel = Panel {
            left: 80.0,
            top: 60.0,
            width: 440.0,
            height: 380.0,
            x: Axis::log(&[40.0, 60.0], "", time_ticks).unwrap(),
            y: metric_axis(0.28, 0.46, ""),
        };
        let mut scene = Scene::new(540.0);
        let looks = variants.iter().map(|(name, ..)| ["other", *name, *name]);
        draw_marks(&mut scene, &panel, &marks, &Styles::assign(looks.collect()));
        let texts = scene.shapes.iter().filter_map(|shape| match shape {
            Shape::Text { at, text, font, .. } => Some((
                text.clone(),
                Block {
                    left: at.0,
                    right: at.0 + text_width(text, font.size, false),
                    top: at.1 - 0.7 * font.size,
                    bottom: at.1 + 0.2 * font.size,
                },
            )),
            _ => None,
        });
        let texts: Vec<_> = texts.collect();
        for (n, (name, block)) in texts.iter().enumerate() {
            let others: Vec<Block> = texts[..n].iter().map(|(_, other)| *other).collect();
            assert!(block.clear_of(&others), "{name} is on another name");
            let points = marks.iter().map(|m| panel.at(m.x.0, m.y.0));
            let points: Vec<Block> = points.map(|at| Block::around(at, 5.0)).collect();
            assert!(block.clear_of(&points), "{name} is on a point");
            let bars = marks
                .iter()
                .flat_map(|m| Block::along(&[panel.at(m.x.0, m.y.1.0), panel.at(m.x.0, m.y.1.1)]));
            assert!(
                block.clear_of(&bars.collect::<Vec<_>>()),
                "{name} is on a bar"
            );
        }
        texts
    }

    #[test]
    fn a_variant_has_one_name_and_a_second_where_the_swapped_one_is_far() {
        let names = |variants: &[(&'static str, f64, f64, Option<f64>)]| {
            let names = written(variants).into_iter().map(|(name, _)| name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&[("retnet", 50.0, 0.41, Some(0.37))]), ["retnet"]);
        assert_eq!(names(&[("retnet", 50.0, 0.41, Some(0.31))]), ["retnet"; 2]);
    }

    /// A study of the simulated shop, whose upright bars stand as close as trees in a wood.
    #[test]
    fn names_cover_no_point_no_bar_and_no_other_name() {
        let found = written(&[
            ("blocked", 48.6, 0.416, None),
            ("linear-elu", 56.2, 0.4196, Some(0.4139)),
            ("retnet", 48.9, 0.4092, Some(0.3254)),
            ("sliding-window", 43.4, 0.4230, Some(0.4203)),
        ]);
        let mut names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "blocked",
                "linear-elu",
                "retnet",
                "retnet",
                "sliding-window"
            ]
        );
    }
}
