//! What of a tile is visible, for weights that stand as `[keys, QUERIES]`.

use attention::mask::SequenceMask;
use attention::simd::QUERIES;
use attention::walk::{Cover, Piece};
use std::ops::Range;

/// Sets to zero what a piece's queries may not see, whatever it was; `rows` are those of the block.
pub(crate) fn hide(tile: &mut [f32], piece: &Piece, mask: &SequenceMask<'_>, rows: &Range<usize>) {
    if piece.cover == Cover::All {
        return;
    }
    for (row, j) in tile.chunks_exact_mut(QUERIES).zip(piece.keys.clone()) {
        let queries = mask.queries_of(j);
        let lane = |i: usize| {
            let lane = i.saturating_sub(rows.start);
            lane.clamp(piece.lanes.start, piece.lanes.end)
        };
        let (first, end) = (lane(queries.start), lane(queries.end));
        row[piece.lanes.start..first].fill(0.0);
        row[first.max(end)..piece.lanes.end].fill(0.0);
        if piece.cover == Cover::Pairs {
            for (lane, i) in queries_of(piece, rows) {
                if !mask.visible(i, j) {
                    row[lane] = 0.0;
                }
            }
        }
    }
}

/// The queries of a piece, with their lanes.
pub(crate) fn queries_of(
    piece: &Piece,
    rows: &Range<usize>,
) -> impl Iterator<Item = (usize, usize)> + use<> {
    let start = rows.start;
    let lanes = piece.lanes.start..piece.lanes.end.min(rows.len());
    lanes.map(move |lane| (lane, start + lane))
}
