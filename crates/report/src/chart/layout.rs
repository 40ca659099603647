//! Where things go: widths, the heading, the legend, the grid of panels.

use super::palette::Color;
use super::render::text_width;
use super::scene::{Font, Scene};
use super::style::{Styles, mark};

/// Size of the direct labels and the legend.
pub(crate) const LABEL: f64 = 12.0;
/// Size of the tick labels.
pub(crate) const TICK: f64 = 11.5;
/// Space around the whole drawing.
pub(crate) const MARGIN: f64 = 18.0;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Layout {
    pub(crate) width: f64,
    /// Most panels side by side.
    pub(crate) columns: usize,
}

impl Layout {
    /// For files and for wide windows.
    pub(crate) const WIDE: Layout = Layout {
        width: 1080.0,
        columns: 3,
    };
    /// For telephones.
    pub(crate) const NARROW: Layout = Layout {
        width: 420.0,
        columns: 1,
    };

    /// Columns for `panels` panels, at most `most`.
    pub(crate) fn columns_for(&self, panels: usize, most: usize) -> usize {
        self.columns.min(most).min(panels).max(1)
    }
}

/// Breaks `text` into lines no wider than `width`.
pub(crate) fn wrap(text: &str, width: f64, size: f64, bold: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            let longer = format!("{line} {word}");
            if text_width(&longer, size, bold) <= width {
                *line = longer;
                continue;
            }
        }
        lines.push(word.to_string());
    }
    lines
}

/// Draws title and subtitle and returns the y below them.
pub(crate) fn heading(scene: &mut Scene, title: &str, subtitle: &str) -> f64 {
    let room = scene.width - 2.0 * MARGIN;
    let mut y = MARGIN + 6.0;
    for line in wrap(title, room, 18.0, true) {
        y += 12.0;
        scene.text((MARGIN, y), line, Font::new(18.0, Color::Ink).bold());
        y += 11.0;
    }
    y += 1.0;
    for line in wrap(subtitle, room, 12.5, false) {
        y += 12.0;
        scene.text((MARGIN, y), line, Font::new(12.5, Color::Muted));
        y += 5.5;
    }
    y + 6.0
}

/// Draws the markers and names of the variants that `wanted` keeps, and returns the y below.
pub(crate) fn legend(
    scene: &mut Scene,
    styles: &Styles,
    wanted: impl Fn(&str) -> bool,
    top: f64,
) -> f64 {
    let (mut x, mut y) = (MARGIN, top + 14.0);
    for (name, style) in styles.names.iter().filter(|(name, _)| wanted(name)) {
        let width = 16.0 + text_width(name, LABEL, false) + 18.0;
        if x > MARGIN && x + width - 18.0 > scene.width - MARGIN {
            (x, y) = (MARGIN, y + 20.0);
        }
        mark(scene, (x + 5.0, y - 4.0), *style, 10.0);
        scene.text((x + 16.0, y), name.clone(), Font::new(LABEL, Color::Ink));
        x += width;
    }
    y + 10.0
}

/// Shifts label positions so that none is nearer to the next than `gap`, staying in `low..=high` as far
/// as there is room, each as near to where it belongs as the others allow.
pub(crate) fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    // Labels that touch move as one block, whose place is the mean of what its members want.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &i in &order {
        blocks.push((wanted[i], 1));
        while let [.., (upper, m), (lower, n)] = blocks[..] {
            let reach = gap * (m + n) as f64 / 2.0;
            if lower - upper >= reach {
                break;
            }
            let total = (m + n) as f64;
            let center = (upper * m as f64 + lower * n as f64) / total;
            blocks.truncate(blocks.len() - 2);
            blocks.push((center, m + n));
        }
        // A block may not stick out of the frame.
        if let Some((center, n)) = blocks.last_mut() {
            let half = gap * (*n as f64 - 1.0) / 2.0;
            *center = center.min(high - half).max(low + half);
        }
    }
    let mut places = vec![0.0; wanted.len()];
    let mut next = order.into_iter();
    for (center, n) in blocks {
        for k in 0..n {
            if let Some(i) = next.next() {
                places[i] = center + gap * (k as f64 - (n as f64 - 1.0) / 2.0);
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_apart_in_order_and_inside() {
        let places = spread(&[10.0, 11.0, 12.0, 90.0, 99.0], 10.0, 5.0, 95.0);
        assert!(
            places.windows(2).all(|p| p[1] - p[0] >= 10.0 - 1e-9),
            "{places:?}"
        );
        assert!(
            places[0] >= 5.0 - 1e-9 && places[4] <= 95.0 + 1e-9,
            "{places:?}"
        );
        assert_eq!(spread(&[50.0, 20.0], 10.0, 0.0, 100.0), [50.0, 20.0]);
    }

    #[test]
    fn lines_break_between_words() {
        let lines = wrap("one two three four", 60.0, 12.0, false);
        assert!(lines.len() > 1);
        assert_eq!(lines.join(" "), "one two three four");
    }
}
