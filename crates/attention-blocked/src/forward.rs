//! The walk of a block of queries over the tiles that it may see.

use crate::simd::{Isa, Kernel, QUERIES, Vector, dispatch};
use crate::tile::{KEYS, Tiles};
use attention::mask::Tile;
use attention::numeric::{LOG2_E, all_finite};
use attention::{Head, OutputMut, Problem, RowBlock, Scratch, Workers};
use ndarray::{ArrayView2, Axis};
use std::ops::Range;

/// Working memory of one worker, in floats.
pub(crate) fn scratch_floats(d: usize, dv: usize) -> usize {
    Tiles::floats(d, dv)
}

/// Writes O, and L where there is room for it.
pub(crate) fn forward(
    isa: Isa,
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let shape = problem.shape();
    let tasks = out.row_blocks(problem.geometry(), QUERIES);
    workers.run(
        tasks,
        scratch,
        scratch_floats(shape.d, shape.dv),
        |block, memory| {
            let head = problem.head(block.sequence, block.head);
            dispatch(
                isa,
                Block {
                    head,
                    block,
                    memory,
                },
            );
        },
    );
}

/// One task: a block of queries of one head.
struct Block<'h, 'o, 'm> {
    head: Head<'h>,
    block: RowBlock<'o>,
    memory: &'m mut [f32],
}

impl Kernel for Block<'_, '_, '_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let head = self.head;
        let rows = self.block.rows.clone();
        let lanes = rows.len().next_multiple_of(V::LANES);
        let mut tiles = Tiles::start(self.memory, head.q.ncols(), head.v.ncols());
        pack_queries(&head, rows.clone(), tiles.qt);

        let (k, v) = (Rows::of(head.k), Rows::of(head.v));
        let span = head.mask.span_of(rows.clone());
        let mut start = span.start / KEYS * KEYS;
        while start < span.end {
            let keys = start..(start + KEYS).min(head.k.nrows());
            start = keys.end;
            let visible = head.mask.tile(rows.clone(), keys.clone());
            if visible == Tile::Empty {
                continue;
            }
            // SAFETY: V's instructions are enabled where this runs; k and v hold the rows `keys`.
            unsafe {
                tiles.score::<V>(k.at(keys.start), k.stride, keys.len(), lanes);
                if head.bias.is_some() {
                    add_bias(&head, rows.clone(), keys.clone(), tiles.st);
                }
                if visible == Tile::Partial {
                    hide(&head, rows.clone(), keys.clone(), tiles.st);
                }
                tiles.exponentiate::<V>(keys.len(), lanes);
                // 0·NaN is NaN: a value that is not finite must not meet a hidden key's weight.
                let values = head.v.slice_axis(Axis(0), keys.clone().into());
                if visible == Tile::Full || all_finite(values) {
                    tiles.accumulate::<V>(v.at(keys.start), v.stride, keys.len(), lanes);
                } else {
                    accumulate_visible(&head, rows.clone(), keys, &mut tiles);
                }
            }
        }
        unpack_output(&head, &mut self.block, &tiles);
    }
}

/// A matrix by its rows: where they start and how far they are apart.
struct Rows<'a> {
    view: ArrayView2<'a, f32>,
    stride: usize,
}

impl<'a> Rows<'a> {
    /// Rows are contiguous: a problem copies tensors that are not.
    fn of(view: ArrayView2<'a, f32>) -> Self {
        // Rows run forwards wherever there is more than one of them to step between.
        Self {
            view,
            stride: view.strides()[0].unsigned_abs(),
        }
    }

    fn at(&self, row: usize) -> *const f32 {
        self.view.row(row).as_ptr()
    }
}

/// Qᵀ with scale·log2(e) folded in; lanes without a query hold zeros.
fn pack_queries(head: &Head<'_>, rows: Range<usize>, qt: &mut [f32]) {
    let factor = head.scale * LOG2_E;
    if rows.len() < QUERIES {
        qt.fill(0.0);
    }
    for (lane, i) in rows.enumerate() {
        for (packed, x) in qt.chunks_exact_mut(QUERIES).zip(head.q.row(i)) {
            packed[lane] = x * factor;
        }
    }
}

fn add_bias(head: &Head<'_>, rows: Range<usize>, keys: Range<usize>, st: &mut [f32]) {
    let Some(bias) = head.bias else { return };
    for (s, j) in st.chunks_exact_mut(QUERIES).zip(keys) {
        for (s, i) in s.iter_mut().zip(rows.clone()) {
            *s += bias.at(i, j) * LOG2_E;
        }
    }
}

/// Scores of hidden keys become -inf, whatever they were.
fn hide(head: &Head<'_>, rows: Range<usize>, keys: Range<usize>, st: &mut [f32]) {
    let regular = head.mask.regular_tile(rows.clone(), keys.clone()) == Tile::Full;
    for (s, j) in st.chunks_exact_mut(QUERIES).zip(keys) {
        let seen = head.mask.queries_of(j);
        let first = seen.start.clamp(rows.start, rows.end) - rows.start;
        let last = seen.end.clamp(rows.start, rows.end) - rows.start;
        s[..first].fill(f32::NEG_INFINITY);
        s[last..].fill(f32::NEG_INFINITY);
        if !regular {
            for (s, i) in s[first..last].iter_mut().zip(rows.start + first..) {
                if !head.mask.regular(i, j) {
                    *s = f32::NEG_INFINITY;
                }
            }
        }
    }
}

/// Oᵀ += Vᵀ·Pᵀ key by key, for tiles in which some keys are hidden and some values not finite.
fn accumulate_visible(
    head: &Head<'_>,
    rows: Range<usize>,
    keys: Range<usize>,
    tiles: &mut Tiles<'_>,
) {
    for (p, j) in tiles.st.chunks_exact(QUERIES).zip(keys) {
        for (lane, _) in rows
            .clone()
            .enumerate()
            .filter(|&(_, i)| head.mask.visible(i, j))
        {
            for (o, v) in tiles.ot.chunks_exact_mut(QUERIES).zip(head.v.row(j)) {
                o[lane] += p[lane] * v;
            }
        }
    }
}

/// O = Oᵀᵀ / sum and L = (max + log2(sum))·ln 2; a query that sees nothing gets 0 and -inf.
fn unpack_output(head: &Head<'_>, block: &mut RowBlock<'_>, tiles: &Tiles<'_>) {
    for (lane, i) in block.rows.clone().enumerate() {
        let sum = tiles.sum[lane];
        // A sum of zero over visible keys comes of scores that are all -inf: undefined, not empty.
        let empty = sum == 0.0 && head.mask.count(i) == 0;
        let factor = if empty { 0.0 } else { 1.0 / sum };
        let mut o = block.o.row_mut(lane);
        for (o, column) in o.iter_mut().zip(tiles.ot.chunks_exact(QUERIES)) {
            *o = column[lane] * factor;
        }
        if let Some(lse) = &mut block.lse {
            lse[lane] = if empty {
                f32::NEG_INFINITY
            } else {
                (tiles.max[lane] + sum.log2()) * std::f32::consts::LN_2
            };
        }
    }
}
