//! The colours, each with its counterpart on a dark page.
//!
//! Families follow Okabe and Ito's set for the colour-blind (2008), shifted so that they also differ in
//! lightness; marker and dash tell apart what colour alone should not.

/// Red, green, blue.
pub(crate) type Rgb = (u8, u8, u8);

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    /// Titles and labels.
    Ink,
    /// Subtitles, tick labels.
    Muted,
    /// Axes.
    Axis,
    /// Grid lines.
    Grid,
    /// The frontier and reference lines.
    Reference,
    /// The paper.
    Paper,
    /// A variant family, by index, in one of three tints.
    Family(usize, usize),
}

/// Families that have a colour of their own, in the order of the legend.
pub(crate) const FAMILIES: [&str; 5] = ["naive", "blocked", "linear", "retrieval", "interest"];

/// Base, deep and pale tint on light paper, then on dark paper.
const TINTS: [([Rgb; 3], [Rgb; 3]); 7] = [
    // Grey for naive.
    (
        [(85, 85, 85), (40, 40, 40), (140, 140, 140)],
        [(176, 176, 176), (222, 222, 222), (130, 130, 130)],
    ),
    // Blue for blocked.
    (
        [(0, 104, 168), (0, 62, 110), (58, 150, 208)],
        [(86, 180, 233), (160, 212, 245), (46, 134, 190)],
    ),
    // Vermilion for linear.
    (
        [(213, 94, 0), (152, 60, 0), (238, 142, 70)],
        [(255, 140, 60), (255, 186, 130), (210, 100, 30)],
    ),
    // Bluish green for retrieval.
    (
        [(0, 148, 108), (0, 92, 66), (74, 190, 154)],
        [(40, 196, 152), (140, 228, 200), (20, 146, 112)],
    ),
    // Reddish purple for interest.
    (
        [(190, 84, 146), (136, 44, 98), (218, 136, 182)],
        [(224, 140, 188), (242, 190, 218), (180, 94, 144)],
    ),
    // Yellow and violet for families of others.
    (
        [(196, 144, 0), (134, 98, 0), (226, 184, 60)],
        [(240, 196, 40), (250, 222, 130), (190, 150, 20)],
    ),
    (
        [(104, 84, 188), (66, 50, 132), (150, 134, 218)],
        [(166, 148, 240), (204, 192, 250), (126, 108, 200)],
    ),
];

impl Color {
    /// On light paper.
    pub(crate) fn light(self) -> Rgb {
        match self {
            Color::Ink => (27, 31, 36),
            Color::Muted => (91, 98, 108),
            Color::Axis => (138, 145, 156),
            Color::Grid => (228, 231, 235),
            Color::Reference => (112, 118, 128),
            Color::Paper => (255, 255, 255),
            Color::Family(family, tint) => TINTS[family % TINTS.len()].0[tint % 3],
        }
    }

    /// On dark paper.
    pub(crate) fn dark(self) -> Rgb {
        match self {
            Color::Ink => (232, 235, 239),
            Color::Muted => (164, 171, 181),
            Color::Axis => (112, 120, 131),
            Color::Grid => (47, 53, 61),
            Color::Reference => (150, 157, 167),
            Color::Paper => (24, 28, 33),
            Color::Family(family, tint) => TINTS[family % TINTS.len()].1[tint % 3],
        }
    }

    /// Every colour there is.
    fn all() -> Vec<Color> {
        let mut all = vec![
            Color::Ink,
            Color::Muted,
            Color::Axis,
            Color::Grid,
            Color::Reference,
            Color::Paper,
        ];
        for family in 0..TINTS.len() {
            all.extend((0..3).map(|tint| Color::Family(family, tint)));
        }
        all
    }
}

/// As it is written in SVG: `#1B1F24`.
pub(crate) fn hex((r, g, b): Rgb) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// Style rules that turn an inline chart drawn for light paper into one for dark paper.
pub(crate) fn dark_rules(scope: &str) -> String {
    Color::all()
        .into_iter()
        .map(|color| {
            let (light, dark) = (hex(color.light()), hex(color.dark()));
            format!(
                "{scope} [fill=\"{light}\"]{{fill:{dark}}}{scope} [stroke=\"{light}\"]{{stroke:{dark}}}\n"
            )
        })
        .collect()
}

/// Which colour group a family has; families without one of their own share the rest in order.
pub(crate) fn family_index(family: &str, others: &[String]) -> usize {
    FAMILIES
        .iter()
        .position(|known| *known == family)
        .unwrap_or_else(|| {
            let own = FAMILIES.len();
            let place = others.iter().position(|o| o == family).unwrap_or(0);
            own + place % (TINTS.len() - own)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_roles_share_a_light_colour() {
        // The dark rules select by the light colour.
        let all = Color::all();
        let distinct: BTreeSet<Rgb> = all.iter().map(|c| c.light()).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
