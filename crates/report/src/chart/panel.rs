//! One pair of axes.

use super::axis::Axis;
use super::layout::{TICK, TITLE, TITLE_PITCH};
use super::palette::Color;
use super::render::text_width;
use super::scene::{Anchor, Font, Point, Scene, Stroke};

/// A plot area and its axes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Panel {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

impl Panel {
    /// Where the values (x, y) are drawn.
    pub(crate) fn at(&self, x: f64, y: f64) -> Point {
        (
            self.left + self.x.place(x) * self.width,
            self.top + (1.0 - self.y.place(y)) * self.height,
        )
    }

    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Grid, axes, ticks, labels and title; `left_label` writes the label of y beside the axis.
    ///
    /// The lines of the title end just above the frame.
    pub(crate) fn frame(&self, scene: &mut Scene, title: &[String], left_label: bool) {
        let grid = Stroke::new(Color::Grid, 1.0);
        let tick_font = Font::new(TICK, Color::Muted);
        for tick in &self.y.ticks {
            let (_, y) = self.at(self.x.ends().0, tick.value);
            scene.line(vec![(self.left, y), (self.right(), y)], grid);
            scene.text(
                (self.left - 7.0, y + TICK * 0.35),
                tick.label.clone(),
                tick_font.anchored(Anchor::End),
            );
        }
        // From the far end, which matters most: a label without room leaves its line unnamed.
        let mut named: Vec<(f64, f64)> = Vec::new();
        for tick in self.x.ticks.iter().rev() {
            let (x, _) = self.at(tick.value, self.y.ends().0);
            scene.line(vec![(x, self.top), (x, self.bottom())], grid);
            let half = text_width(&tick.label, TICK, false) / 2.0 + 4.0;
            if named.iter().any(|(l, r)| x - half < *r && x + half > *l) {
                continue;
            }
            named.push((x - half, x + half));
            scene.text(
                (x, self.bottom() + 16.0),
                tick.label.clone(),
                tick_font.anchored(Anchor::Middle),
            );
        }
        scene.line(
            vec![(self.left, self.bottom()), (self.right(), self.bottom())],
            Stroke::new(Color::Axis, 1.0),
        );
        let label_font = Font::new(TICK, Color::Muted).anchored(Anchor::Middle);
        scene.text(
            (self.left + self.width / 2.0, self.bottom() + 35.0),
            self.x.label.clone(),
            label_font,
        );
        if left_label {
            scene.upward_text(
                (self.left - 60.0, self.top + self.height / 2.0),
                self.y.label.clone(),
                label_font,
            );
        }
        for (above, line) in title.iter().rev().enumerate() {
            scene.text(
                (self.left, self.top - 10.0 - TITLE_PITCH * above as f64),
                line.clone(),
                Font::new(TITLE, Color::Ink).bold(),
            );
        }
    }
}

/// A rectangle that something already covers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Block {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Block {
    /// A square around a point.
    pub(crate) fn around((x, y): Point, half: f64) -> Self {
        Block {
            left: x - half,
            top: y - half,
            right: x + half,
            bottom: y + half,
        }
    }

    /// Small blocks along a line.
    pub(crate) fn along(line: &[Point]) -> Vec<Self> {
        const STEP: f64 = 3.0;
        let mut blocks = Vec::new();
        for pair in line.windows(2) {
            let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
            let length = (to_x - x).hypot(to_y - y);
            if !length.is_finite() {
                continue;
            }
            let pieces = (length / STEP).ceil().max(1.0);
            blocks.extend((0..=pieces as usize).map(|k| {
                let share = k as f64 / pieces;
                Block::around((x + (to_x - x) * share, y + (to_y - y) * share), 1.0)
            }));
        }
        blocks
    }

    pub(crate) fn overlaps(&self, other: &Block) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    pub(crate) fn clear_of(&self, others: &[Block]) -> bool {
        !others.iter().any(|other| self.overlaps(other))
    }

    pub(crate) fn inside(&self, other: &Block) -> bool {
        self.left >= other.left
            && self.right <= other.right
            && self.top >= other.top
            && self.bottom <= other.bottom
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::axis::time_ticks;

    #[test]
    fn larger_values_are_to_the_right_and_above() {
        let axis = || Axis::log(&[1.0, 100.0], "", time_ticks).unwrap();
        let panel = Panel {
            left: 10.0,
            top: 20.0,
            width: 100.0,
            height: 50.0,
            x: axis(),
            y: axis(),
        };
        let (low, high) = (panel.at(1.0, 1.0), panel.at(100.0, 100.0));
        assert!(low.0 < high.0 && low.1 > high.1);
        assert!(low.0 > 10.0 && high.0 < 110.0 && high.1 > 20.0 && low.1 < 70.0);
    }

    #[test]
    fn blocks_that_only_touch_do_not_overlap() {
        let a = Block::around((0.0, 0.0), 1.0);
        assert!(!a.overlaps(&Block::around((2.0, 0.0), 1.0)));
        assert!(a.overlaps(&Block::around((1.5, 0.0), 1.0)));
        assert!(a.inside(&Block::around((0.0, 0.0), 2.0)));
    }
}
