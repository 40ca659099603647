//! Names beside points, where they cover nothing.

use super::layout::LABEL;
use super::palette::Color;
use super::panel::{Block, Panel};
use super::render::text_width;
use super::scene::{Anchor, Font, Point, Scene};

const SIZE: f64 = LABEL - 1.0;

/// A bar longer than this parts a name at its end from the point it belongs to.
const NEAR: f64 = 45.0;

/// A point to be named.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Label<'a> {
    pub(crate) at: Point,
    /// The left and right end of its error bar.
    pub(crate) reach: (f64, f64),
    /// The upper and lower end of an upright bar that a name may stand at.
    pub(crate) upright: Option<(f64, f64)>,
    pub(crate) text: &'a str,
    pub(crate) color: Color,
}

/// Writes each label beside its point where it covers nothing `taken`, and nothing `avoided` if there is such a place;
/// those without room stay to the legend.
pub(crate) fn draw_labels(
    scene: &mut Scene,
    panel: &Panel,
    labels: &[Label],
    mut taken: Vec<Block>,
    avoided: &[Block],
) {
    let frame = Block {
        left: panel.left + 1.0,
        top: panel.top - 2.0,
        right: panel.right() + 4.0,
        bottom: panel.bottom() - 1.0,
    };
    for label in labels {
        let width = text_width(label.text, SIZE, false);
        let block = |(x, y): Point| Block {
            left: x - 1.0,
            top: y - SIZE * 0.85,
            right: x + width + 1.0,
            bottom: y + SIZE * 0.25,
        };
        let mut free = spots(label, width);
        free.retain(|&at| block(at).inside(&frame) && block(at).clear_of(&taken));
        let clear = free.iter().find(|&&at| block(at).clear_of(avoided));
        if let Some(&at) = clear.or(free.first()) {
            let block = block(at);
            taken.push(block);
            let font = Font::new(SIZE, label.color).anchored(Anchor::Start);
            scene.text(at, label.text, font);
        }
    }
}

/// Where the baseline of a name may start, the clearest places first.
fn spots(label: &Label, width: f64) -> Vec<Point> {
    let (x, y) = label.at;
    let mut spots: Vec<Point> = [
        (9.0, 4.0),
        (-9.0 - width, 4.0),
        (9.0, -6.0),
        (9.0, 14.0),
        (-9.0 - width, -6.0),
        (-9.0 - width, 14.0),
        (-width / 2.0, -10.0),
        (-width / 2.0, 18.0),
        (4.0, -12.0),
        (4.0, 20.0),
        (-4.0 - width, -12.0),
        (-4.0 - width, 20.0),
    ]
    .map(|(dx, dy)| (x + dx, y + dy))
    .into();
    let (from, to) = label.reach;
    let mut ends = Vec::new();
    if (9.0..NEAR).contains(&(to - x)) {
        ends.push((to + 4.0, y + 4.0));
    }
    if (9.0..NEAR).contains(&(x - from)) {
        ends.push((from - 4.0 - width, y + 4.0));
    }
    spots.splice(2..2, ends);
    if let Some((top, bottom)) = label.upright {
        let beyond = [
            (x - width / 2.0, top - 5.0),
            (x - width / 2.0, bottom + 13.0),
        ];
        let beside = [top + 9.0, bottom - 1.0].map(|y| [(x + 5.0, y), (x - 5.0 - width, y)]);
        spots.extend(beyond.into_iter().chain(beside.into_iter().flatten()));
    }
    spots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::axis::{Axis, time_ticks};
    use crate::chart::scene::Shape;

    fn panel() -> Panel {
        let axis = || Axis::log(&[1.0, 100.0], "", time_ticks).unwrap();
        Panel {
            left: 0.0,
            top: 0.0,
            width: 300.0,
            height: 300.0,
            x: axis(),
            y: axis(),
        }
    }

    /// Where the name of a point at (150, 150) starts, given its bar and what else is there.
    fn written(reach: (f64, f64), mut taken: Vec<Block>) -> Option<Point> {
        let at = (150.0, 150.0);
        taken.extend(Block::along(&[(reach.0, at.1), (reach.1, at.1)]));
        let label = Label {
            at,
            reach,
            upright: None,
            text: "favor",
            color: Color::Ink,
        };
        let mut scene = Scene::new(300.0);
        draw_labels(&mut scene, &panel(), &[label], taken, &[]);
        scene.shapes.first().and_then(|shape| match shape {
            Shape::Text { at, .. } => Some(*at),
            _ => None,
        })
    }

    #[test]
    fn no_name_is_struck_through_by_its_own_bar() {
        assert_eq!(written((150.0, 150.0), Vec::new()), Some((159.0, 154.0)));
        let short = written((130.0, 180.0), Vec::new()).unwrap();
        assert_eq!(short, (184.0, 154.0), "just beyond the bar");
        let (_, y) = written((40.0, 260.0), Vec::new()).unwrap();
        assert!(y + SIZE * 0.25 < 149.0 || y - SIZE * 0.85 > 151.0, "{y}");
    }

    #[test]
    fn a_name_without_room_is_left_out() {
        let full = vec![Block::around((150.0, 150.0), 140.0)];
        assert_eq!(written((150.0, 150.0), full), None);
    }
}
