//! The rectangles of the score matrix that a block of queries computes: the masks' geometry, and
//! nothing of arithmetic, so that forward and backward, and all tiled variants, walk alike.
//!
//! A tile of [`KEYS`] keys is taken whole where all of it is visible. Where it is not, its queries are
//! halved down to groups of [`GROUP`], and each part gets only the keys that it may see: a causal
//! diagonal costs five eighths of its tile, and block masks of any side from 16 up skip what they
//! leave out.

use crate::mask::{SequenceMask, Tile};
use std::ops::Range;

/// Keys in a tile: with 64 queries its scores take 16 KiB, a third of a 48 KiB L1 cache.
pub const KEYS: usize = 64;

/// Queries that are never separated: one 512-bit vector.
pub const GROUP: usize = 16;

/// How what is visible within a piece is told from what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// All of it is visible.
    All,
    /// Just what lies in the diagonal band of [`SequenceMask::band`].
    Band,
    /// [`SequenceMask::visible`] has to be asked pair by pair.
    Pairs,
}

/// A rectangle of scores to compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Queries, counted from the first row of the block; the end may lie behind the last row, at a
    /// multiple of [`GROUP`].
    pub lanes: Range<usize>,
    /// Keys, at most [`KEYS`].
    pub keys: Range<usize>,
    /// What of it is visible.
    pub cover: Cover,
}

impl Piece {
    /// The band of the mask for lane 0, whose query is `row`, counted from the piece's first key: first
    /// visible key, first hidden one behind it, and the first that none sees.
    #[must_use]
    pub fn band(&self, mask: &SequenceMask<'_>, row: usize) -> (isize, isize, usize) {
        let (first, last, len) = mask.band();
        let at = row as isize - self.keys.start as isize;
        let end = len.saturating_sub(self.keys.start);
        (at + first, at + last + 1, end)
    }
}

/// An iterator over the pieces of a block of queries, keys ascending for every query.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    mask: SequenceMask<'a>,
    rows: Range<usize>,
    /// Whether parts of a tile are worth a look; a dense mask is scanned once a tile.
    divisible: bool,
    /// Keys that no tile has been made of.
    rest: Range<usize>,
    tile: Range<usize>,
    /// Parts of the tile's queries still to look at, the next one last.
    parts: [Range<usize>; 4],
    pending: usize,
    /// The part whose runs of keys are being handed out, and the keys left of it.
    lanes: Range<usize>,
    keys: Range<usize>,
}

impl<'a> Walk<'a> {
    /// The pieces of query rows `rows`, at most [`QUERIES`](crate::simd::QUERIES) of them.
    #[must_use]
    pub fn new(mask: SequenceMask<'a>, rows: Range<usize>) -> Self {
        Self {
            rest: mask.span_of(rows.clone()),
            divisible: !mask.has_dense(),
            mask,
            rows,
            tile: 0..0,
            parts: [0..0, 0..0, 0..0, 0..0],
            pending: 0,
            lanes: 0..0,
            keys: 0..0,
        }
    }

    fn rows_of(&self, lanes: &Range<usize>) -> Range<usize> {
        self.rows.start + lanes.start..(self.rows.start + lanes.end).min(self.rows.end)
    }

    fn push(&mut self, lanes: Range<usize>) {
        self.parts[self.pending] = lanes;
        self.pending += 1;
    }

    /// The next run of keys of the part in hand.
    fn run(&mut self) -> Option<Piece> {
        let rows = self.rows_of(&self.lanes);
        while let Some(keys) = self.mask.next_run(rows.clone(), self.keys.clone()) {
            self.keys.start = keys.end;
            let cover = match self.mask.tile(rows.clone(), keys.clone()) {
                Tile::Empty => continue,
                Tile::Full => Cover::All,
                Tile::Partial => match self.mask.regular_tile(rows.clone(), keys.clone()) {
                    Tile::Full => Cover::Band,
                    _ => Cover::Pairs,
                },
            };
            let lanes = self.lanes.clone();
            return Some(Piece { lanes, keys, cover });
        }
        self.keys = 0..0;
        None
    }

    /// Whether every run of the part in hand is visible as a whole.
    fn runs_are_whole(&self) -> bool {
        let mut look = self.clone();
        std::iter::from_fn(|| look.run()).all(|piece| piece.cover == Cover::All)
    }

    /// Takes a part in hand, or halves it where that may save work.
    fn take(&mut self, lanes: Range<usize>) {
        let rows = self.rows_of(&lanes);
        let span = self.mask.span_of(rows);
        self.keys = span.start.max(self.tile.start)..span.end.min(self.tile.end);
        self.lanes = lanes.clone();
        if self.divisible && lanes.len() > GROUP && !self.keys.is_empty() && !self.runs_are_whole()
        {
            self.keys = 0..0;
            let middle = lanes.start + (lanes.len() / 2).next_multiple_of(GROUP);
            self.push(middle..lanes.end);
            self.push(lanes.start..middle);
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            if !self.keys.is_empty()
                && let Some(piece) = self.run()
            {
                return Some(piece);
            }
            if self.pending > 0 {
                self.pending -= 1;
                self.take(self.parts[self.pending].clone());
                continue;
            }
            if self.rest.is_empty() {
                return None;
            }
            // Tiles lie on a grid, so that their edges are those of block masks.
            let start = self.rest.start;
            let end = ((start / KEYS + 1) * KEYS).min(self.rest.end);
            self.tile = start..end;
            self.rest.start = end;
            self.take(0..self.rows.len().next_multiple_of(GROUP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{Alignment, BlockMask, Mask};
    use ndarray::Array2;
    use proptest::prelude::*;

    fn pieces(mask: &Mask, rows: Range<usize>, nq: usize, nk: usize) -> Vec<Piece> {
        Walk::new(mask.sequence(0, nq, nk), rows).collect()
    }

    fn area(pieces: &[Piece]) -> usize {
        pieces.iter().map(|p| p.lanes.len() * p.keys.len()).sum()
    }

    #[test]
    fn a_causal_diagonal_costs_five_eighths_of_its_tile() {
        let causal = Mask::causal(Alignment::TopLeft);
        assert_eq!(area(&pieces(&causal, 0..64, 256, 256)), 64 * 64 * 5 / 8);
        assert_eq!(
            area(&pieces(&causal, 64..128, 256, 256)),
            64 * 64 + 64 * 64 * 5 / 8
        );
    }

    #[test]
    fn blocks_of_sixteen_and_more_cost_what_they_keep() {
        for side in [16, 32, 64, 128] {
            let blocks = BlockMask::random(512, 512, side, 0.3, 1).unwrap();
            let kept = blocks.kept().iter().filter(|&&k| k).count() * side * side;
            let mask = Mask::blocks(blocks);
            let all: Vec<_> = (0..512)
                .step_by(64)
                .flat_map(|r| pieces(&mask, r..r + 64, 512, 512))
                .collect();
            assert_eq!(area(&all), kept, "side {side}");
            assert!(all.iter().all(|p| p.cover == Cover::All));
        }
    }

    #[test]
    fn padding_is_cut_off_without_a_ragged_edge() {
        let found = pieces(&Mask::key_lengths([70]), 0..50, 50, 100);
        assert!(found.iter().all(|p| p.cover == Cover::All));
        assert_eq!(found.last().unwrap().keys, 64..70);
    }

    fn any_mask(nq: usize, nk: usize) -> impl Strategy<Value = Mask> {
        let alignment = (-40isize..40).prop_map(Alignment::Offset);
        let part = prop_oneof![
            Just(Mask::full()),
            alignment.prop_map(Mask::causal),
            (1usize..90).prop_map(Mask::window),
            (0..=nk).prop_map(|n| Mask::key_lengths([n])),
            (1usize..70, any::<u64>()).prop_map(move |(side, seed)| {
                Mask::blocks(BlockMask::random(nq, nk, side, 0.4, seed).unwrap())
            }),
            any::<u64>().prop_map(move |seed| Mask::dense(Array2::from_shape_fn(
                (nq, nk),
                |(i, j)| (seed >> ((i * 5 + j * 3) % 64)) & 1 == 1
            ))),
        ];
        proptest::collection::vec(part, 1..4)
            .prop_map(|parts| parts.iter().fold(Mask::full(), |m, p| m.and(p)))
    }

    proptest! {
        /// Every visible pair lies in exactly one piece, keys ascend, and covers tell the truth.
        #[test]
        fn pieces_hold_every_visible_pair_once(
            (nq, nk, mask) in (1usize..150, 1usize..150)
                .prop_flat_map(|(nq, nk)| (Just(nq), Just(nk), any_mask(nq, nk))),
            start in 0usize..150,
        ) {
            let start = (start % nq) / 64 * 64;
            let rows = start..(start + 64).min(nq);
            let seq = mask.sequence(0, nq, nk);
            let mut times = Array2::<u8>::zeros((nq, nk));
            let mut last = [0; 64];
            for piece in Walk::new(seq, rows.clone()) {
                prop_assert!(piece.keys.len() <= KEYS && piece.lanes.start % GROUP == 0);
                for lane in piece.lanes.clone().filter(|lane| rows.start + lane < rows.end) {
                    let i = rows.start + lane;
                    prop_assert!(piece.keys.start >= last[lane]);
                    last[lane] = piece.keys.end;
                    for j in piece.keys.clone() {
                        times[[i, j]] += 1;
                        let band = seq.span(i).contains(&j);
                        match piece.cover {
                            Cover::All => prop_assert!(seq.visible(i, j)),
                            Cover::Band => prop_assert_eq!(seq.visible(i, j), band),
                            Cover::Pairs => {}
                        }
                    }
                }
            }
            for i in rows {
                for j in 0..nk {
                    prop_assert!(times[[i, j]] <= 1);
                    prop_assert!(times[[i, j]] == 1 || !seq.visible(i, j));
                }
            }
        }
    }
}
