//! Gradients cut into parts that tasks own: a cut that depends on the problem alone, so that sums have the
//! same order for any number of workers.

use attention::Geometry;
use attention::mask;
use ndarray::{ArrayViewMut3, ArrayViewMut4, Axis, Dimension, Ix4};
use std::ops::Range;

/// Tasks of a backward call at the least, where there are keys enough: what several workers share evenly.
const TASKS: usize = 8;

/// Keys of a task at the least, where a history and head has as many.
const KEYS: usize = 256;

/// Whether work grows with the row, as under a causal mask: then workers that take the last rows first end
/// together.
pub(crate) fn last_rows_see_most(geometry: &Geometry) -> bool {
    let mut parts = geometry.mask().parts().iter();
    parts.any(|part| matches!(part, mask::Part::Causal(_)))
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

/// Gradients of a call by history, key head and chunk of keys.
pub(crate) struct Part<'g> {
    pub(crate) sequence: usize,
    pub(crate) key_head: usize,
    /// Which keys of the history.
    pub(crate) keys: Range<usize>,
    /// `[heads, Nq, D]`: dQ by these keys.
    pub(crate) d_q: ArrayViewMut3<'g, f32>,
    /// `[1, keys, D]`.
    pub(crate) d_k: ArrayViewMut3<'g, f32>,
    /// `[1, keys, Dv]`.
    pub(crate) d_v: ArrayViewMut3<'g, f32>,
}

/// Room for dQ of each chunk behind the first, to be added to that of the first.
pub(crate) fn behind_the_first<'m>(
    memory: &'m mut [f32],
    dim: Ix4,
    chunks: Chunks,
) -> Vec<ArrayViewMut4<'m, f32>> {
    let mut rest = memory;
    let room = (1..chunks.count).filter_map(|_| {
        let (part, behind) = std::mem::take(&mut rest).split_at_mut(dim.size());
        rest = behind;
        ArrayViewMut4::from_shape(dim, part).ok()
    });
    room.collect()
}

/// The parts of a call, by history, then key head, then chunk; dQ has an entry for each chunk.
pub(crate) fn parts<'g>(
    geometry: &Geometry,
    chunks: Chunks,
    d_q: impl Iterator<Item = ArrayViewMut4<'g, f32>>,
    d_k: ArrayViewMut4<'g, f32>,
    d_v: ArrayViewMut4<'g, f32>,
) -> Vec<Part<'g>> {
    let shape = geometry.shape();
    let mut d_q: Vec<_> = d_q
        .map(|d_q| by_key_head(d_q, geometry, Side::Queries).into_iter())
        .collect();
    let d_k = by_key_head(d_k, geometry, Side::Keys);
    let d_v = by_key_head(d_v, geometry, Side::Keys);
    let mut parts = Vec::with_capacity(d_k.len() * chunks.count);
    for (n, (mut d_k, mut d_v)) in d_k.into_iter().zip(d_v).enumerate() {
        let count = d_k.len_of(Axis(1));
        for (chunk, d_q) in d_q.iter_mut().enumerate() {
            let keys = chunks.range(chunk, count);
            let (mine_k, rest_k) = d_k.split_at(Axis(1), keys.len());
            let (mine_v, rest_v) = d_v.split_at(Axis(1), keys.len());
            (d_k, d_v) = (rest_k, rest_v);
            parts.extend(d_q.next().map(|d_q| Part {
                sequence: n / shape.hkv,
                key_head: n % shape.hkv,
                keys,
                d_q,
                d_k: mine_k,
                d_v: mine_v,
            }));
        }
    }
    parts
}

/// Which side of the problem a gradient belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Queries,
    Keys,
}

/// A gradient `[B, H, N, D]` by history and key head: `[heads, tokens, D]` each.
fn by_key_head<'g>(
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
