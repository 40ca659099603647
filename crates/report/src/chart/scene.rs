//! A drawing as a list of shapes, in CSS pixels, before it is turned into SVG or PNG.

use super::palette::Color;

/// A point, x to the right and y down.
pub(crate) type Point = (f64, f64);

/// Where the given x of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Font {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) color: Color,
    pub(crate) anchor: Anchor,
}

impl Font {
    /// A regular font of `size` pixels, anchored at its start.
    pub(crate) fn new(size: f64, color: Color) -> Self {
        Font {
            size,
            bold: false,
            color,
            anchor: Anchor::Start,
        }
    }

    pub(crate) fn bold(self) -> Self {
        Font { bold: true, ..self }
    }

    pub(crate) fn anchored(self, anchor: Anchor) -> Self {
        Font { anchor, ..self }
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stroke {
    pub(crate) color: Color,
    pub(crate) width: f64,
    pub(crate) alpha: f64,
    /// Lengths of dash and gap; empty for a solid line.
    pub(crate) dash: &'static [f64],
}

impl Stroke {
    pub(crate) fn new(color: Color, width: f64) -> Self {
        Stroke {
            color,
            width,
            alpha: 1.0,
            dash: &[],
        }
    }

    pub(crate) fn dashed(self, dash: &'static [f64]) -> Self {
        Stroke { dash, ..self }
    }

    pub(crate) fn faded(self, alpha: f64) -> Self {
        Stroke { alpha, ..self }
    }
}

/// One thing to draw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Line {
        points: Vec<Point>,
        stroke: Stroke,
    },
    Polygon {
        points: Vec<Point>,
        color: Color,
        alpha: f64,
    },
    Disc {
        center: Point,
        radius: f64,
        color: Color,
    },
    Text {
        /// Left, middle or right end of the baseline.
        at: Point,
        text: String,
        font: Font,
        /// Whether it reads from bottom to top.
        upward: bool,
    },
    /// Shows `text` when the pointer rests on it; invisible in a bitmap.
    Note {
        center: Point,
        radius: f64,
        text: String,
    },
}

/// A whole drawing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scene {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) shapes: Vec<Shape>,
}

impl Scene {
    pub(crate) fn new(width: f64) -> Self {
        Scene {
            width,
            height: 0.0,
            shapes: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self, points: Vec<Point>, stroke: Stroke) {
        self.shapes.push(Shape::Line { points, stroke });
    }

    pub(crate) fn polygon(&mut self, points: Vec<Point>, color: Color, alpha: f64) {
        self.shapes.push(Shape::Polygon {
            points,
            color,
            alpha,
        });
    }

    pub(crate) fn text(&mut self, at: Point, text: impl Into<String>, font: Font) {
        self.shapes.push(Shape::Text {
            at,
            text: text.into(),
            font,
            upward: false,
        });
    }

    pub(crate) fn upward_text(&mut self, at: Point, text: impl Into<String>, font: Font) {
        self.shapes.push(Shape::Text {
            at,
            text: text.into(),
            font,
            upward: true,
        });
    }

    pub(crate) fn note(&mut self, center: Point, text: String) {
        self.shapes.push(Shape::Note {
            center,
            radius: 9.0,
            text,
        });
    }
}

/// Cuts a polyline into the visible pieces of a dash pattern.
pub(crate) fn dashes(points: &[Point], pattern: &[f64]) -> Vec<Vec<Point>> {
    if pattern.is_empty() || pattern.iter().sum::<f64>() <= 0.0 {
        return vec![points.to_vec()];
    }
    let mut pieces = Vec::new();
    let mut index = 0;
    let mut left = pattern[0];
    let mut piece: Vec<Point> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let ((mut x, mut y), (end_x, end_y)) = (pair[0], pair[1]);
        let mut length = (end_x - x).hypot(end_y - y);
        while length > left {
            let share = left / length;
            (x, y) = (x + (end_x - x) * share, y + (end_y - y) * share);
            length -= left;
            if index % 2 == 0 {
                piece.push((x, y));
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![(x, y)];
            }
            index += 1;
            left = pattern[index % pattern.len()];
        }
        left -= length;
        if index % 2 == 0 {
            piece.push((end_x, end_y));
        }
    }
    if index % 2 == 0 && piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_turn_corners_and_keep_their_length() {
        let pieces = dashes(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0)], &[3.0, 2.0]);
        assert_eq!(
            pieces,
            [vec![(0.0, 0.0), (3.0, 0.0)], vec![(4.0, 1.0), (4.0, 4.0)]]
        );
        assert_eq!(dashes(&[(0.0, 0.0), (9.0, 0.0)], &[]).len(), 1);
    }
}
