//! Tensors by history and head.

use attention::{Geometry, Head};
use ndarray::{ArrayView2, ArrayView4, ArrayViewMut2, ArrayViewMut4, Axis};
use std::ops::Range;

/// The rows of a head's queries in O or dO: `[Nq, Dv]`.
pub(crate) fn rows_of<'t>(
    tensor: ArrayView4<'t, f32>,
    geometry: &Geometry,
    head: &Head<'_>,
) -> ArrayView2<'t, f32> {
    let batch = if geometry.is_jagged() {
        0
    } else {
        head.sequence
    };
    tensor
        .index_axis_move(Axis(0), batch)
        .index_axis_move(Axis(0), head.head)
        .slice_axis_move(Axis(0), geometry.query_range(head.sequence).into())
}

/// A tensor `[B, heads, tokens, D]` cut into `[tokens, D]`, histories outermost; `range` is where the
/// tokens of a history lie.
pub(crate) fn by_head<'t>(
    mut tensor: ArrayViewMut4<'t, f32>,
    geometry: &Geometry,
    range: impl Fn(&Geometry, usize) -> Range<usize>,
) -> Vec<ArrayViewMut2<'t, f32>> {
    let (histories, heads) = (geometry.shape().b, tensor.dim().1);
    let mut cut = Vec::with_capacity(histories * heads);
    for s in 0..histories {
        // Histories lie along the batch axis, or end to end along the token axis.
        let (axis, at) = if geometry.is_jagged() {
            (Axis(2), range(geometry, s).len())
        } else {
            (Axis(0), 1)
        };
        let (mut history, rest) = tensor.split_at(axis, at);
        tensor = rest;
        for _ in 0..heads {
            let (head, others) = history.split_at(Axis(1), 1);
            history = others;
            cut.push(head.index_axis_move(Axis(0), 0).index_axis_move(Axis(0), 0));
        }
    }
    cut
}
