//! Attention whose score of a query and a key is what a small network, the activation unit, makes of them.
//!
//! A tile has one query and 64 keys, which stand in the lanes; what a unit makes of the keys alone it makes
//! once for all queries of a block. Weights are scores, or their softmax over the keys.
//!
//! * `forward.rs`, `backward.rs`: O and gradients, for any unit
//! * `reference.rs`: the same in f64, pair by pair
//! * `softmax.rs`: weights that are relative to a running maximum

mod backward;
mod forward;
mod reference;
mod softmax;

pub(crate) use backward::{backward, backward_floats};
pub(crate) use forward::{forward, forward_floats};
pub(crate) use reference::form;

use attention::simd::QUERIES;
use attention::{Head, Shape};
use ndarray::{Array1, ArrayView1, ArrayView2};

/// Keys of a tile.
pub(crate) const KEYS: usize = QUERIES;

/// A number for each key of a tile.
pub(crate) type Lanes = [f32; KEYS];

/// The network that scores pairs. Its tile memory holds what it made of keys, and of the last query.
pub(crate) trait Unit: Sync {
    /// Floats of tile memory: forward, and for gradients too.
    fn floats(&self) -> [usize; 2];

    /// Floats of the gradients of what it learns, end to end in the order of the names.
    fn learned_floats(&self) -> usize;

    /// Whether weights are a softmax of the scores, or the scores themselves.
    fn softmax(&self) -> bool;

    /// Takes up a tile of keys `[keys, D]`.
    fn open(&self, k: ArrayView2<'_, f32>, memory: &mut [f32]);

    /// Scores of query `q` and the tile's keys; lanes behind the last key hold anything.
    fn score(&self, q: &[f32], memory: &mut [f32], scores: &mut Lanes);

    /// Adds to the gradients by the query and by what is learned, and to what [`close`](Self::close) needs, right
    /// after the query was scored; a pair is the query and the tile's keys. Lanes behind the last key hold zero.
    fn differentiate(
        &self,
        pair: (&[f32], ArrayView2<'_, f32>),
        d_scores: &Lanes,
        memory: &mut [f32],
        d_q: &mut [f32],
        learned: &mut [f32],
    );

    /// Adds the tile's dK to `[keys, D]`.
    fn close(
        &self,
        k: ArrayView2<'_, f32>,
        memory: &mut [f32],
        d_k: &mut [f32],
        learned: &mut [f32],
    );

    /// Scores `[Nk]` of one query and all keys `[Nk, D]` in f64, as the paper writes them.
    fn scores_f64(&self, q: ArrayView1<'_, f64>, k: ArrayView2<'_, f64>) -> Array1<f64>;
}

/// A query as a slice; problems keep rows in one piece.
fn query<'a>(head: &Head<'a>, i: usize) -> &'a [f32] {
    let row = head.q.index_axis_move(ndarray::Axis(0), i);
    row.to_slice().unwrap_or_default()
}

/// Tiles of a range of keys, on the grid of block masks.
fn tiles(keys: std::ops::Range<usize>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let first = keys.start / KEYS * KEYS;
    (first..keys.end)
        .step_by(KEYS)
        .map(move |start| start.max(keys.start)..(start + KEYS).min(keys.end))
}

fn values_floats(shape: &Shape) -> usize {
    KEYS * attention::simd::matrix::padded(shape.dv)
}
