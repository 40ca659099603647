//! O of a block of queries, from tile to tile.

use super::dropped::Drop;
use super::{Hstu, positions};
use crate::memory;
use crate::rows::{corner, tokens};
use crate::tasks::last_rows_see_most;
use crate::visible::{hide, queries_of};
use attention::numeric::all_finite;
use attention::simd::QUERIES;
use attention::simd::activation::silu_rows;
use attention::simd::matrix::{Rows, RowsMut, Sum, multiply, pack_rows, unpack_rows};
use attention::walk::{Cover, KEYS, Piece, Walk};
use attention::{Head, OutputMut, Problem, RowBlock, Scratch, Shape, Workers};
use ndarray::ArrayView2;

fn sizes(shape: &Shape) -> [usize; 4] {
    [
        shape.d * QUERIES,
        KEYS * QUERIES,
        shape.dv * QUERIES,
        positions::WINDOW,
    ]
}

/// Floats of one worker.
pub(super) fn floats(shape: &Shape) -> usize {
    memory::floats(sizes(shape))
}

/// Writes O.
pub(super) fn forward(
    hstu: &Hstu,
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let (geometry, shape) = (problem.geometry(), problem.shape());
    let mut blocks = out.row_blocks(geometry, QUERIES);
    if last_rows_see_most(geometry) {
        blocks = blocks.last_first();
    }
    workers.run(blocks, scratch, floats(shape), |block, memory| {
        let head = problem.head(block.sequence, block.head);
        let [qt, st, ot, window] = memory::cut(memory, sizes(shape));
        let task = Task {
            hstu,
            bias: hstu.bias(problem),
            drop: head.dropout.map(|drop| Drop::new(drop, &block.rows)),
            head,
            block,
            tiles: Tiles { qt, st, ot, window },
        };
        task.run();
    });
}

/// Matrices of a block, one row of [`QUERIES`] floats for a key or column each.
struct Tiles<'m> {
    /// scale·Qᵀ `[D, QUERIES]`.
    qt: &'m mut [f32],
    /// Sᵀ, then Aᵀ `[KEYS, QUERIES]`.
    st: &'m mut [f32],
    /// n·Oᵀ `[Dv, QUERIES]`.
    ot: &'m mut [f32],
    window: &'m mut [f32],
}

struct Task<'a, 'o> {
    hstu: &'a Hstu,
    bias: Option<&'a [f32]>,
    drop: Option<Drop>,
    head: Head<'a>,
    block: RowBlock<'o>,
    tiles: Tiles<'a>,
}

impl Task<'_, '_> {
    fn run(mut self) {
        let isa = self.hstu.isa;
        let rows = self.block.rows.clone();
        let q = tokens(self.head.q, rows.clone());
        pack_rows(isa, q, self.head.scale, self.tiles.qt);
        // 0·NaN is NaN, so a hidden value that is not finite leaks through the product of a tile. As none
        // comes of finite values, it shows in the sums, and the block is done again with care.
        let hidden = self.attend(false);
        if hidden && !self.is_finite() {
            self.attend(true);
        }
        let mut shares = [0.0; QUERIES];
        for (share, i) in shares.iter_mut().zip(rows) {
            *share = self.hstu.share(&self.head.mask, i) as f32;
        }
        unpack_rows(isa, self.tiles.ot, &shares, self.block.o);
    }

    /// Sums up weighted values; tells whether anything was hidden inside a piece.
    fn attend(&mut self, with_care: bool) -> bool {
        let (isa, head, rows) = (self.hstu.isa, self.head, self.block.rows.clone());
        let mut hidden = false;
        self.tiles.ot.fill(0.0);
        for piece in Walk::new(head.mask, rows.clone()) {
            let (lanes, keys) = (piece.lanes.clone(), piece.keys.clone());
            let Tiles { qt, st, ot, window } = &mut self.tiles;
            let k = tokens(head.k, keys.clone());
            let v = tokens(head.v, keys.clone());
            multiply(
                isa,
                k,
                at(qt, lanes.start),
                at_mut(st, lanes.start),
                lanes.len(),
                Sum::Write,
            );
            if let Some(table) = self.bias {
                positions::add(table, st, &piece, &rows, window);
            }
            silu_rows(isa, &mut st[..keys.len() * QUERIES], lanes.clone());
            hide(st, &piece, &head.mask, &rows);
            if let Some(drop) = &self.drop {
                drop.apply(isa, st, keys, lanes.clone());
            }
            hidden |= piece.cover != Cover::All;
            if with_care && piece.cover != Cover::All {
                self.accumulate_visible(&piece, v);
            } else {
                let (a, ot) = (at(st, lanes.start), at_mut(ot, lanes.start));
                multiply(isa, v.t(), a, ot, lanes.len(), Sum::Add);
            }
        }
        hidden
    }

    /// As the product of a tile, without the values that a query may not see.
    fn accumulate_visible(&mut self, piece: &Piece, v: ArrayView2<'_, f32>) {
        for (lane, i) in queries_of(piece, &self.block.rows) {
            for (key, j) in piece.keys.clone().enumerate() {
                if self.head.mask.visible(i, j) {
                    let weight = self.tiles.st[key * QUERIES + lane];
                    for (c, v) in v.row(key).iter().enumerate() {
                        self.tiles.ot[c * QUERIES + lane] += weight * v;
                    }
                }
            }
        }
    }

    fn is_finite(&self) -> bool {
        let columns = 0..self.tiles.ot.len() / QUERIES;
        let lanes = 0..self.block.rows.len();
        all_finite(corner(self.tiles.ot, QUERIES, columns, lanes))
    }
}

/// Rows of a tile from a lane on.
pub(super) fn at(tile: &[f32], lane: usize) -> Rows<'_> {
    Rows {
        data: tile.get(lane..).unwrap_or_default(),
        stride: QUERIES,
    }
}

/// Rows of a tile from a lane on.
pub(super) fn at_mut(tile: &mut [f32], lane: usize) -> RowsMut<'_> {
    RowsMut {
        data: tile.get_mut(lane..).unwrap_or_default(),
        stride: QUERIES,
    }
}
