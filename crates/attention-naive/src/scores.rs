//! The score matrix: one piece of scratch a row block.

use attention::{Geometry, OutputMut, RowBlock, Scratch};

/// Floats of S for the whole problem: Σ over histories of H·Nq·Nk.
pub(crate) fn floats(geometry: &Geometry) -> usize {
    let shape = geometry.shape();
    let per_head: usize = (0..shape.b)
        .map(|s| geometry.query_range(s).len() * geometry.key_range(s).len())
        .sum();
    per_head * shape.h
}

/// Cuts O into row blocks and hands each its rows of S, `[rows, Nk]`.
pub(crate) fn row_blocks<'o, 's>(
    geometry: &Geometry,
    out: OutputMut<'o>,
    rows: usize,
    scratch: &'s mut Scratch,
) -> Vec<(RowBlock<'o>, &'s mut [f32])> {
    let whole = scratch.parts(1, floats(geometry)).into_iter().next();
    let mut free = whole.unwrap_or_default();
    out.row_blocks(geometry, rows)
        .into_iter()
        .map(|block| {
            let keys = geometry.key_range(block.sequence).len();
            let (mine, rest) = std::mem::take(&mut free).split_at_mut(block.rows.len() * keys);
            free = rest;
            (block, mine)
        })
        .collect()
}
