//! Gradients cut into parts that tasks own: a cut that depends on the problem alone, so that sums have the
//! same order for any number of workers.

use attention::Geometry;
use attention::mask::Part;
use ndarray::{ArrayViewMut3, ArrayViewMut4, Axis};
use std::ops::Range;

/// Tasks of a backward call at the least, where there are keys enough: what several workers share evenly.
const TASKS: usize = 8;

/// Keys of a task at the least, where a history and head has as many.
const KEYS: usize = 256;

/// Whether work grows with the row, as under a causal mask: then workers that take the last rows first end
/// together.
pub(crate) fn last_rows_see_most(geometry: &Geometry) -> bool {
    let mut parts = geometry.mask().parts().iter();
    parts.any(|part| matches!(part, Part::Causal(_)))
}

/// How the keys of a history and head are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// How many chunks.
    pub(crate) count: usize,
    /// Keys of each but the last.
    length: usize,
}

impl Chunks {
    /// One, unless there are but a few long histories and heads.
    pub(crate) fn of(geometry: &Geometry) -> Self {
        let shape = geometry.shape();
        let longest = (0..shape.b).map(|s| geometry.key_range(s).len()).max();
        let longest = longest.unwrap_or(0);
        let wanted = TASKS.div_ceil((shape.b * shape.hkv).max(1));
        let length = longest.div_ceil(wanted).next_multiple_of(KEYS).max(KEYS);
        Self {
            count: longest.div_ceil(length).max(1),
            length,
        }
    }

    /// The n-th chunk of so many keys.
    pub(crate) fn range(self, n: usize, keys: usize) -> Range<usize> {
        (n * self.length).min(keys)..((n + 1) * self.length).min(keys)
    }
}

/// Which side of the problem a gradient belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Queries,
    Keys,
}

/// A gradient `[B, H, N, D]` by history and key head: `[heads, tokens, D]` each.
pub(crate) fn by_key_head<'g>(
    gradient: ArrayViewMut4<'g, f32>,
    geometry: &Geometry,
    side: Side,
) -> Vec<ArrayViewMut3<'g, f32>> {
    let shape = geometry.shape();
    let mut parts = Vec::with_capacity(shape.b * shape.hkv);
    let mut rest = gradient;
    for sequence in 0..shape.b {
        let (tokens, heads) = match side {
            Side::Queries => (geometry.query_range(sequence), shape.h / shape.hkv.max(1)),
            Side::Keys => (geometry.key_range(sequence), 1),
        };
        let (axis, at) = if geometry.is_jagged() {
            (Axis(2), tokens.len())
        } else {
            (Axis(0), 1)
        };
        let (mut history, behind) = rest.split_at(axis, at);
        rest = behind;
        for _ in 0..shape.hkv {
            let (part, others) = history.split_at(Axis(1), heads);
            history = others;
            parts.push(part.index_axis_move(Axis(0), 0));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention::{Mask, Shape};

    #[test]
    fn chunks_cover_all_keys_and_few_long_heads_have_several() {
        for (b, n) in [(1, 0), (1, 200), (1, 4096), (3, 1000), (128, 4096)] {
            let shape = Shape::square(b, 1, n, 4);
            let geometry = Geometry::padded(shape, Mask::full()).unwrap();
            let chunks = Chunks::of(&geometry);
            let ranges = (0..chunks.count).flat_map(|c| chunks.range(c, n));
            assert!(ranges.eq(0..n), "{chunks:?} of {n} keys");
            assert_eq!(chunks.count > 1, b * n >= 1000 && b < TASKS, "{b} {n}");
        }
    }
}
