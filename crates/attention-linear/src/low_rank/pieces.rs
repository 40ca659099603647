//! Histories cut into pieces: what one task sums, and what is merged in order afterwards.

use attention::Geometry;
use std::ops::Range;

/// Tokens from which on a history is cut.
const LEAST: usize = 512;

/// Pieces of a history at most, so that partial sums take memory that does not grow with N.
const MOST: usize = 16;

/// Tokens that a kernel takes at once.
pub(crate) const TOKENS: usize = 64;

/// Pieces of a history of `n` tokens; a matter of `n` alone, never of the number of threads.
pub(crate) fn cuts(n: usize) -> usize {
    n.div_ceil(LEAST).min(MOST)
}

fn cut(n: usize, piece: usize) -> Range<usize> {
    let floats = n.div_ceil(cuts(n)).next_multiple_of(TOKENS);
    (piece * floats).min(n)..((piece + 1) * floats).min(n)
}

/// Tokens of a history: keys or queries.
pub(crate) type Length = fn(&Geometry, usize) -> usize;

/// Keys that the queries of a history see: all of them see the same.
pub(crate) fn keys(geometry: &Geometry, sequence: usize) -> usize {
    let mask = geometry.sequence(sequence);
    match mask.queries() {
        0 => 0,
        _ => mask.span(0).end,
    }
}

/// Queries of a history.
pub(crate) fn queries(geometry: &Geometry, sequence: usize) -> usize {
    geometry.query_range(sequence).len()
}

/// The longest history, padding included.
pub(crate) fn longest(geometry: &Geometry, of: fn(&Geometry, usize) -> Range<usize>) -> usize {
    let histories = 0..geometry.shape().b;
    histories.map(|s| of(geometry, s).len()).max().unwrap_or(0)
}

/// Some tokens of one history and head.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece {
    pub(crate) sequence: usize,
    pub(crate) head: usize,
    /// Its number among all pieces.
    pub(crate) index: usize,
    /// Its number among those of its history and head, and how many these are.
    pub(crate) of: (usize, usize),
    pub(crate) tokens: Range<usize>,
}

impl Piece {
    /// The number that the same tokens have for the m-th of `group` heads that share this one, where
    /// pieces are counted over all of them.
    pub(crate) fn of_group(&self, group: usize, m: usize) -> usize {
        let (piece, pieces) = self.of;
        let before = self.index - self.head * pieces - piece;
        group * before + (self.head * group + m) * pieces + piece
    }
}

/// All pieces: histories outermost, then heads.
pub(crate) fn pieces(
    geometry: &Geometry,
    heads: usize,
    length: Length,
) -> impl Iterator<Item = Piece> + Send + '_ {
    let heads_of = move |sequence| (0..heads).map(move |head| (sequence, head));
    (0..geometry.shape().b)
        .flat_map(heads_of)
        .flat_map(move |(sequence, head)| {
            let n = length(geometry, sequence);
            (0..cuts(n)).map(move |piece| (sequence, head, (piece, cuts(n)), cut(n, piece)))
        })
        .enumerate()
        .map(|(index, (sequence, head, of, tokens))| Piece {
            sequence,
            head,
            index,
            of,
            tokens,
        })
}

/// How many pieces there are.
pub(crate) fn count(geometry: &Geometry, heads: usize, length: Length) -> usize {
    let histories = 0..geometry.shape().b;
    heads * histories.map(|s| cuts(length(geometry, s))).sum::<usize>()
}

/// One history and head, with its pieces.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    pub(crate) sequence: usize,
    pub(crate) head: usize,
    /// Its number among all of them.
    pub(crate) index: usize,
    pub(crate) pieces: Range<usize>,
}

/// Every history and head, in the order of [`pieces`], where `group` heads of those share one of these.
pub(crate) fn slots(
    geometry: &Geometry,
    heads: usize,
    length: Length,
    group: usize,
) -> impl Iterator<Item = Slot> + Send + '_ {
    let mut next = 0;
    let heads_of = move |sequence| (0..heads).map(move |head| (sequence, head));
    (0..geometry.shape().b)
        .flat_map(heads_of)
        .enumerate()
        .map(move |(index, (sequence, head))| {
            let first = next;
            next += group * cuts(length(geometry, sequence));
            Slot {
                sequence,
                head,
                index,
                pieces: first..next,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention::{Mask, Shape};

    #[test]
    fn pieces_are_all_tokens_and_slots_all_pieces() {
        let shape = Shape {
            b: 3,
            h: 4,
            hkv: 2,
            nq: 3000,
            nk: 3000,
            d: 1,
            dv: 1,
        };
        let offsets = [0, 100, 100, 3000];
        let geometry =
            Geometry::jagged(shape, offsets.into(), offsets.into(), Mask::full()).unwrap();
        let all: Vec<_> = pieces(&geometry, 4, queries).collect();
        assert_eq!(all.len(), count(&geometry, 4, queries));
        for slot in slots(&geometry, 2, queries, 2) {
            let n = queries(&geometry, slot.sequence);
            for m in 0..2 {
                let head = 2 * slot.head + m;
                let mine = all[slot.pieces.clone()].iter();
                let mine: Vec<_> = mine.filter(|p| p.head == head).collect();
                assert!(mine.iter().all(|p| p.sequence == slot.sequence));
                let tokens: Vec<_> = mine.iter().flat_map(|p| p.tokens.clone()).collect();
                assert_eq!(tokens, (0..n).collect::<Vec<_>>());
            }
        }
        for piece in pieces(&geometry, 2, queries) {
            for m in 0..2 {
                let other = &all[piece.of_group(2, m)];
                assert_eq!(
                    (other.head, &other.tokens),
                    (2 * piece.head + m, &piece.tokens)
                );
            }
        }
    }
}
