//! The bias by relative position: for a tile, a window of its table that slides by one from key to key.

use attention::simd::QUERIES;
use attention::walk::{KEYS, Piece};
use std::ops::Range;

/// Floats of a tile's window.
pub(super) const WINDOW: usize = QUERIES + KEYS;

/// Where the bias of query `i` and key `j` stands in a table of 2·positions - 1 entries.
pub(super) fn slot(table: &[f32], i: usize, j: usize) -> usize {
    at(table.len(), j as isize - i as isize)
}

fn at(width: usize, distance: isize) -> usize {
    let most = (width / 2) as isize;
    (most + distance.clamp(-most, most)) as usize
}

/// Entry x of a tile's window belongs to all its pairs with lane - key + keys - 1 = x.
fn distances(piece: &Piece, rows: &Range<usize>) -> impl Iterator<Item = isize> + use<> {
    let key = piece.keys.end as isize - 1;
    let query = rows.start as isize;
    (0..QUERIES as isize + piece.keys.len() as isize - 1).map(move |x| key - query - x)
}

/// Adds the bias to a tile's scores `[keys, QUERIES]`.
pub(super) fn add(
    table: &[f32],
    tile: &mut [f32],
    piece: &Piece,
    rows: &Range<usize>,
    window: &mut [f32],
) {
    for (entry, distance) in window.iter_mut().zip(distances(piece, rows)) {
        *entry = table[at(table.len(), distance)];
    }
    let keys = piece.keys.len();
    for (key, row) in tile.chunks_exact_mut(QUERIES).take(keys).enumerate() {
        let shifted = &window[keys - 1 - key..][..QUERIES];
        let lanes = piece.lanes.clone();
        for (s, b) in row[lanes.clone()].iter_mut().zip(&shifted[lanes]) {
            *s += b;
        }
    }
}

/// Adds a tile's dS `[keys, QUERIES]` to the gradient of the table.
pub(super) fn add_gradient(
    gradient: &mut [f32],
    tile: &[f32],
    piece: &Piece,
    rows: &Range<usize>,
    window: &mut [f32],
) {
    window.fill(0.0);
    let keys = piece.keys.len();
    let lanes = piece.lanes.start..piece.lanes.end.min(rows.len());
    for (key, row) in tile.chunks_exact(QUERIES).take(keys).enumerate() {
        let shifted = &mut window[keys - 1 - key..][..QUERIES];
        for (sum, ds) in shifted[lanes.clone()].iter_mut().zip(&row[lanes.clone()]) {
            *sum += ds;
        }
    }
    let width = gradient.len();
    for (entry, distance) in window.iter().zip(distances(piece, rows)) {
        gradient[at(width, distance)] += entry;
    }
}
