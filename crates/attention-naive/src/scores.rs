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
    geometry: &'s Geometry,
    out: OutputMut<'o>,
    rows: usize,
    scratch: &'s mut Scratch,
) -> impl Iterator<Item = (RowBlock<'o>, &'s mut [f32])> + Send + use<'o, 's> {
    let mut free = scratch.part(floats(geometry));
    out.row_blocks(geometry, rows).map(move |block| {
        let keys = geometry.key_range(block.sequence).len();
        let (mine, rest) = std::mem::take(&mut free).split_at_mut(block.rows.len() * keys);
        free = rest;
        (block, mine)
    })
}
