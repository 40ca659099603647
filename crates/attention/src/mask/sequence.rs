//! A mask resolved for one sequence: what kernels ask row by row and tile by tile.

use super::Part;
use std::ops::Range;

/// How much of a tile of scores is visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tile {
    /// Nothing: the tile is skipped.
    Empty,
    /// Some of it: the kernel asks key by key.
    Partial,
    /// All of it: no test is needed inside.
    Full,
}

impl Tile {
    /// What is left of a tile under two conditions.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Empty, _) | (_, Self::Empty) => Self::Empty,
            (Self::Full, Self::Full) => Self::Full,
            _ => Self::Partial,
        }
    }
}

/// A [`Mask`](super::Mask) for one sequence of known length.
///
/// Causal masks, windows and key lengths are folded into one diagonal band and one length, so that
/// the visible keys of a row are an interval; only dense and block masks are asked key by key.
#[derive(Debug, Clone, Copy)]
pub struct SequenceMask<'a> {
    nq: usize,
    nk: usize,
    /// Visible keys satisfy j >= i + first.
    first: isize,
    /// Visible keys satisfy j <= i + last.
    last: isize,
    /// Visible keys satisfy j < len.
    len: usize,
    parts: &'a [Part],
    irregular: bool,
}

/// Far outside any diagonal, yet safe to add an index to.
const UNBOUNDED: isize = isize::MAX / 4;

impl<'a> SequenceMask<'a> {
    pub(super) fn resolve(parts: &'a [Part], b: usize, nq: usize, nk: usize) -> Self {
        let (mut first, mut last) = (-UNBOUNDED, UNBOUNDED);
        let mut len = nk;
        let mut irregular = false;
        for part in parts {
            match part {
                Part::Causal(alignment) => last = last.min(alignment.offset(nq, nk)),
                Part::Window { width, alignment } => {
                    let offset = alignment.offset(nq, nk);
                    let width = (*width).min(UNBOUNDED as usize) as isize;
                    last = last.min(offset);
                    first = first.max(offset - width + 1);
                }
                Part::SymmetricWindow { radius, alignment } => {
                    let offset = alignment.offset(nq, nk);
                    let radius = (*radius).min(UNBOUNDED as usize) as isize;
                    last = last.min(offset + radius);
                    first = first.max(offset - radius);
                }
                Part::KeyLengths(lengths) => len = len.min(lengths[b]),
                Part::Dense(_) | Part::Blocks(_) => irregular = true,
            }
        }
        Self {
            nq,
            nk,
            first,
            last,
            len,
            parts,
            irregular,
        }
    }

    /// Number of queries.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.nq
    }

    /// Number of keys, masked ones included.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.nk
    }

    /// Whether the visible keys of a row are exactly its [`span`](Self::span).
    #[must_use]
    pub fn is_interval(&self) -> bool {
        !self.irregular
    }

    /// The diagonal band: query `i` sees j with i + first <= j <= i + last and j < len, as far as the
    /// dense and block conditions let it. Unbounded sides lie far outside any index.
    #[must_use]
    pub fn band(&self) -> (isize, isize, usize) {
        (self.first, self.last, self.len)
    }

    /// Whether a dense mask takes part, which only a look at every (query, key) resolves.
    #[must_use]
    pub fn has_dense(&self) -> bool {
        self.irregular && self.parts.iter().any(|p| matches!(p, Part::Dense(_)))
    }

    /// The first run of `keys` whose columns of block-mask tiles hold something for `rows`.
    ///
    /// Without block masks that is all of `keys`. Cost: O(tiles of the block masks touched).
    #[must_use]
    pub fn next_run(&self, rows: Range<usize>, keys: Range<usize>) -> Option<Range<usize>> {
        if rows.is_empty() || keys.is_empty() {
            return None;
        }
        if !self.irregular {
            return Some(keys);
        }
        let mut run: Option<Range<usize>> = None;
        let mut at = keys.start;
        while at < keys.end {
            let mut kept = true;
            let mut end = keys.end;
            for part in self.parts {
                if let Part::Blocks(blocks) = part {
                    let side = blocks.block();
                    let column = at / side;
                    end = end.min((column + 1) * side);
                    let mut tile_rows = rows.start / side..=(rows.end - 1) / side;
                    kept = kept && tile_rows.any(|r| blocks.kept()[[r, column]]);
                }
            }
            match (&mut run, kept) {
                (None, true) => run = Some(at..end),
                (Some(run), true) => run.end = end,
                (Some(_), false) => break,
                (None, false) => {}
            }
            at = end;
        }
        run
    }

    /// The keys outside of which query `i` sees nothing.
    #[must_use]
    pub fn span(&self, i: usize) -> Range<usize> {
        let i = i as isize;
        let start = (i + self.first).clamp(0, self.nk as isize) as usize;
        let end = (i + self.last + 1).clamp(0, self.len as isize) as usize;
        start.min(end)..end
    }

    /// The keys outside of which no query of `rows` sees anything.
    #[must_use]
    pub fn span_of(&self, rows: Range<usize>) -> Range<usize> {
        if rows.is_empty() {
            return 0..0;
        }
        let (head, tail) = (self.span(rows.start), self.span(rows.end - 1));
        // The band moves right with i, so the first row begins it and the last row ends it.
        head.start.min(tail.end)..tail.end
    }

    /// The queries outside of which none sees key `j`: the [`span`](Self::span) of a column.
    #[must_use]
    pub fn queries_of(&self, j: usize) -> Range<usize> {
        if j >= self.len {
            return 0..0;
        }
        let (j, nq) = (j as isize, self.nq as isize);
        let start = (j - self.last).clamp(0, nq) as usize;
        let end = (j - self.first + 1).clamp(0, nq) as usize;
        start.min(end)..end
    }

    /// Whether query `i` may see key `j`.
    #[must_use]
    pub fn visible(&self, i: usize, j: usize) -> bool {
        self.span(i).contains(&j) && self.regular(i, j)
    }

    /// The dense and block conditions alone, for a key inside the row's [`span`](Self::span).
    #[must_use]
    pub fn regular(&self, i: usize, j: usize) -> bool {
        !self.irregular
            || self.parts.iter().all(|part| match part {
                Part::Dense(visible) => visible[[i, j]],
                Part::Blocks(blocks) => blocks.visible(i, j),
                _ => true,
            })
    }

    /// How many keys query `i` sees. Cost: O(1) for intervals, else O(span).
    #[must_use]
    pub fn count(&self, i: usize) -> usize {
        let span = self.span(i);
        if self.irregular {
            span.filter(|&j| self.regular(i, j)).count()
        } else {
            span.len()
        }
    }

    /// How much of the tile `rows` x `keys` is visible.
    ///
    /// Cost: O(1) for intervals; a dense mask is scanned over the tile.
    #[must_use]
    pub fn tile(&self, rows: Range<usize>, keys: Range<usize>) -> Tile {
        if rows.is_empty() || keys.is_empty() {
            return Tile::Empty;
        }
        match self.band_tile(&rows, &keys) {
            Tile::Empty => Tile::Empty,
            band => band.and(self.regular_tile(rows, keys)),
        }
    }

    /// As [`tile`](Self::tile), of the dense and block conditions alone.
    #[must_use]
    pub fn regular_tile(&self, rows: Range<usize>, keys: Range<usize>) -> Tile {
        if !self.irregular {
            return Tile::Full;
        }
        self.parts.iter().fold(Tile::Full, |so_far, part| {
            so_far.and(match part {
                Part::Dense(visible) => scan(rows.clone(), keys.clone(), |i, j| visible[[i, j]]),
                Part::Blocks(blocks) => {
                    let side = blocks.block();
                    let map = blocks.kept();
                    let tiles = |r: &Range<usize>| r.start / side..(r.end - 1) / side + 1;
                    scan(tiles(&rows), tiles(&keys), |r, c| map[[r, c]])
                }
                _ => Tile::Full,
            })
        })
    }

    fn band_tile(&self, rows: &Range<usize>, keys: &Range<usize>) -> Tile {
        let (top, bottom) = (rows.start as isize, rows.end as isize - 1);
        let (left, right) = (keys.start as isize, keys.end as isize - 1);
        let outside =
            left > bottom + self.last || right < top + self.first || keys.start >= self.len;
        let inside =
            right <= top + self.last && left >= bottom + self.first && keys.end <= self.len;
        match (outside, inside) {
            (true, _) => Tile::Empty,
            (_, true) => Tile::Full,
            _ => Tile::Partial,
        }
    }
}

fn scan(rows: Range<usize>, keys: Range<usize>, kept: impl Fn(usize, usize) -> bool) -> Tile {
    let all = rows.len() * keys.len();
    let some = rows
        .map(|i| keys.clone().filter(|&j| kept(i, j)).count())
        .sum::<usize>();
    match some {
        0 => Tile::Empty,
        n if n == all => Tile::Full,
        _ => Tile::Partial,
    }
}

#[cfg(test)]
mod tests {
    use crate::mask::{Alignment, BlockMask, Mask, Part, Tile};
    use ndarray::Array2;
    use proptest::prelude::*;

    #[test]
    fn causal_alignments_differ_where_the_sides_do() {
        let top = Mask::causal(Alignment::TopLeft).to_dense(0, 2, 4);
        assert_eq!(
            top,
            ndarray::array![[true, false, false, false], [true, true, false, false]]
        );
        let bottom = Mask::causal(Alignment::BottomRight).to_dense(0, 2, 4);
        assert_eq!(
            bottom,
            ndarray::array![[true, true, true, false], [true, true, true, true]]
        );
        let more_queries = Mask::causal(Alignment::BottomRight).to_dense(0, 3, 2);
        assert_eq!(
            more_queries.row(0).to_vec(),
            [false, false],
            "nothing to see yet"
        );
    }

    #[test]
    fn a_window_is_the_keys_that_end_at_the_query() {
        let window = Mask::window(2).to_dense(0, 3, 3);
        assert_eq!(
            window,
            ndarray::array![
                [true, false, false],
                [true, true, false],
                [false, true, true]
            ]
        );
    }

    fn part(nq: usize, nk: usize) -> impl Strategy<Value = Part> {
        let alignment = prop_oneof![
            Just(Alignment::TopLeft),
            Just(Alignment::BottomRight),
            (-5isize..5).prop_map(Alignment::Offset)
        ];
        prop_oneof![
            alignment.clone().prop_map(Part::Causal),
            (1usize..9, alignment.clone())
                .prop_map(|(width, alignment)| Part::Window { width, alignment }),
            (0usize..6, alignment)
                .prop_map(|(radius, alignment)| Part::SymmetricWindow { radius, alignment }),
            (0..=nk).prop_map(|n| Part::KeyLengths([n].into())),
            any::<u64>().prop_map(move |seed| {
                let bit = |i: usize, j: usize| (seed >> ((i * 7 + j * 3) % 64)) & 1 == 1;
                Part::Dense(std::sync::Arc::new(Array2::from_shape_fn(
                    (nq, nk),
                    |(i, j)| bit(i, j),
                )))
            }),
            (1usize..5, any::<u64>()).prop_map(move |(block, seed)| {
                Part::Blocks(std::sync::Arc::new(
                    BlockMask::random(nq, nk, block, 0.4, seed).unwrap(),
                ))
            }),
        ]
    }

    proptest! {
        /// Rows, spans, counts and tiles all tell the same story as the conditions themselves.
        #[test]
        fn spans_and_tiles_agree_with_visibility(
            (nq, nk, parts) in (1usize..14, 1usize..14).prop_flat_map(|(nq, nk)| {
                (Just(nq), Just(nk), proptest::collection::vec(part(nq, nk), 0..4))
            }),
            corner in (0usize..14, 0usize..14, 1usize..6, 1usize..6),
        ) {
            let mask = parts.iter().fold(Mask::full(), |m, p| m.and(&p.clone().into()));
            let seq = mask.sequence(0, nq, nk);
            for i in 0..nq {
                let visible = (0..nk).filter(|&j| plainly(&parts, i, j, nq, nk)).collect::<Vec<_>>();
                prop_assert_eq!(seq.count(i), visible.len());
                for j in 0..nk {
                    prop_assert_eq!(seq.visible(i, j), visible.contains(&j));
                }
                prop_assert!(visible.iter().all(|j| seq.span(i).contains(j)));
            }
            for j in 0..nk {
                for i in 0..nq {
                    prop_assert_eq!(seq.queries_of(j).contains(&i), seq.span(i).contains(&j));
                }
            }
            let rows = corner.0.min(nq - 1)..(corner.0.min(nq - 1) + corner.2).min(nq);
            let keys = corner.1.min(nk - 1)..(corner.1.min(nk - 1) + corner.3).min(nk);
            let seen = rows.clone()
                .flat_map(|i| keys.clone().map(move |j| (i, j)))
                .filter(|&(i, j)| seq.visible(i, j))
                .count();
            match seq.tile(rows.clone(), keys.clone()) {
                Tile::Empty => prop_assert_eq!(seen, 0),
                Tile::Full => prop_assert_eq!(seen, rows.len() * keys.len()),
                Tile::Partial => {}
            }
            let mut from = keys.start;
            while let Some(run) = seq.next_run(rows.clone(), from..keys.end) {
                prop_assert!(run.start >= from && !run.is_empty() && run.end <= keys.end);
                for j in from..run.start {
                    prop_assert!(rows.clone().all(|i| !seq.visible(i, j)), "{} was skipped", j);
                }
                from = run.end;
            }
            for j in from..keys.end {
                prop_assert!(rows.clone().all(|i| !seq.visible(i, j)), "{} was left out", j);
            }
            let hull = seq.span_of(rows.clone());
            for i in rows {
                prop_assert!((0..nk).filter(|&j| seq.visible(i, j)).all(|j| hull.contains(&j)));
            }
        }
    }

    fn plainly(parts: &[Part], i: usize, j: usize, nq: usize, nk: usize) -> bool {
        let place = |a: &Alignment| {
            i as isize
                + match a {
                    Alignment::TopLeft => 0,
                    Alignment::BottomRight => nk as isize - nq as isize,
                    Alignment::Offset(k) => *k,
                }
        };
        let j_ = j as isize;
        parts.iter().all(|part| match part {
            Part::Causal(a) => j_ <= place(a),
            Part::Window { width, alignment } => {
                j_ <= place(alignment) && j_ > place(alignment) - *width as isize
            }
            Part::SymmetricWindow { radius, alignment } => {
                (j_ - place(alignment)).unsigned_abs() <= *radius
            }
            Part::KeyLengths(n) => j < n[0],
            Part::Dense(m) => m[[i, j]],
            Part::Blocks(b) => b.kept()[[i / b.block(), j / b.block()]],
        })
    }
}
