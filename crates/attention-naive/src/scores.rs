//! The score matrix: one piece of scratch a row block.

use attention::mask::Part;
use attention::{Geometry, OutputMut, RowBlock, Scratch};

/// Query rows a block. Products run faster the taller they are, but the keys of a block are those of
/// its last row under a causal mask, so that a lower one computes less in vain; measured with heads of
/// 64 dimensions over 1024 and 4096 keys, and of 32 over 200.
pub(crate) fn height(geometry: &Geometry) -> usize {
    let banded = |part: &Part| !matches!(part, Part::KeyLengths(_) | Part::Dense(_));
    if geometry.mask().parts().iter().any(banded) {
        128
    } else {
        256
    }
}

/// Floats of S for the whole problem, and of a sum a row: Σ over histories of H·Nq·(Nk + 1).
pub(crate) fn floats(geometry: &Geometry) -> usize {
    let shape = geometry.shape();
    let per_head: usize = (0..shape.b)
        .map(|s| geometry.query_range(s).len() * (geometry.key_range(s).len() + 1))
        .sum();
    per_head * shape.h
}

/// Cuts O into row blocks and hands each its rows of S, `[rows, Nk]`, and then `rows` for their sums.
pub(crate) fn row_blocks<'o, 's>(
    geometry: &'s Geometry,
    out: OutputMut<'o>,
    rows: usize,
    scratch: &'s mut Scratch,
) -> impl Iterator<Item = (RowBlock<'o>, &'s mut [f32])> + Send + use<'o, 's> {
    let mut free = scratch.part(floats(geometry));
    out.row_blocks(geometry, rows)
        .last_first()
        .map(move |block| {
            let floats = block.rows.len() * (geometry.key_range(block.sequence).len() + 1);
            let (mine, rest) = std::mem::take(&mut free).split_at_mut(floats);
            free = rest;
            (block, mine)
        })
}
