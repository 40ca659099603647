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

/// Units that stay on the line of their number.
const UNITS: [&str; 2] = ["%", "GFLOP/s"];

/// The words of `text`, an equation counting as one, `N = 256`, and a number with its unit, `84 %`.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(last) if open || word == "=" || UNITS.iter().any(|u| word.starts_with(u)) => {
                *last = format!("{last} {word}")
            }
            _ => words.push(word.to_string()),
        }
        open = word == "=";
    }
    words
}

/// Breaks `text` into lines no wider than `width`, unless a single word is.
pub(crate) fn wrap(text: &str, width: f64, size: f64, bold: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words(text) {
        if let Some(line) = lines.last_mut() {
            let longer = format!("{line} {word}");
            if text_width(&longer, size, bold) <= width {
                *line = longer;
                continue;
            }
        }
        lines.push(word);
    }
    lines
}

/// Size of the title of a panel.
pub(crate) const TITLE: f64 = 12.5;
/// From one line of a panel's title to the next.
pub(crate) const TITLE_PITCH: f64 = 15.0;

/// The title of a panel in at most two lines no wider than `width`; of a longer one the last word is kept,
/// which tells panels of one workload apart, and what has no room before it is left out.
pub(crate) fn title_lines(title: &str, width: f64) -> Vec<String> {
    let mut lines = wrap(title, width, TITLE, true);
    let words = words(title);
    if let (true, Some((last, rest))) = (lines.len() > 2, words.split_last()) {
        let mut head = rest.join(" ");
        while lines.len() > 2 && head.pop().is_some() {
            let kept = head.trim_end_matches([' ', ',']);
            lines = wrap(&format!("{kept}… {last}"), width, TITLE, true);
        }
    }
    lines.into_iter().map(|line| shorten(line, width)).collect()
}

/// A line of a title without the end that sticks out.
fn shorten(line: String, width: f64) -> String {
    if text_width(&line, TITLE, true) <= width {
        return line;
    }
    let mut kept = line;
    while kept.pop().is_some() && text_width(&format!("{kept}…"), TITLE, true) > width {}
    kept + "…"
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
    fn titles_take_two_lines_and_keep_their_last_word() {
        let title = "histories (simulated shop), N = 1024";
        assert_eq!(title_lines(title, 400.0), [title]);
        let two = title_lines(title, 200.0);
        assert_eq!(two, ["histories (simulated shop),", "N = 1024"]);
        let long = "histories of a shop with a very long name indeed, causal, N = 1024";
        for long in [long, &long.replace(' ', "_"), &"word ".repeat(60)] {
            let lines = title_lines(long, 150.0);
            assert!(lines.len() <= 2, "{lines:?}");
            assert!(lines.iter().all(|l| text_width(l, TITLE, true) <= 150.0));
            assert!(lines.concat().contains('…'), "{lines:?}");
        }
        assert!(title_lines(long, 150.0)[1].ends_with("N = 1024"));
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(words("N = 8, 84 %."), ["N = 8,", "84 %."]);
        let lines = wrap("one two three four", 60.0, 12.0, false);
        assert!(lines.len() > 1);
        assert_eq!(lines.join(" "), "one two three four");
    }
}
