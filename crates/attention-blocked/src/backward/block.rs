//! One block of queries against all the keys that it may see.

use super::bias::Table;
use super::chains::QueryBlock;
use super::gradient::Gradient;
use super::memory::{Memory, RUN, padded};
use super::piece::QueryTiles;
use super::sources::{Rows, Sources};
use super::turns::{Ticket, Turns};
use crate::simd::{
    Block, Drop, Kernel, QUERIES, Target, Vector, copy_rows, dot_rows, pack, prefetch_rows, unpack,
};
use attention::Head;
use attention::numeric::LOG2_E;
use attention::walk::{Cover, KEYS, Piece, Walk};
use ndarray::{ArrayView2, Axis};
use std::ops::Range;

/// Where the gradients go.
pub(super) struct Targets {
    pub(super) dq: Gradient,
    pub(super) dk: Gradient,
    pub(super) dv: Gradient,
    pub(super) bias: Option<Table>,
}

/// The task of a worker: one block of a chain.
pub(super) struct Task<'a, 'p, 'm, N> {
    pub(super) sources: &'a Sources<'a, 'p>,
    pub(super) targets: &'a Targets,
    pub(super) turns: &'a Turns<N>,
    pub(super) worker: usize,
    pub(super) ticket: Ticket,
    pub(super) block: QueryBlock,
    pub(super) memory: &'m mut [f32],
}

impl<N: Fn(usize) -> usize> Kernel for Task<'_, '_, '_, N> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self {
            sources,
            targets,
            turns,
            worker,
            ticket,
            block,
            memory,
        } = self;
        let head = sources.problem.head(block.sequence, block.head);
        let rows = block.rows.clone();
        let (d, dv) = (head.q.ncols(), head.v.ncols());
        let place = sources.place(&block);

        // SAFETY: the gradients have the shapes of the problem's tensors. Nobody else is at the rows
        // of dK and dV before the first block has begun with its tiles.
        let (dq, dk, dv_rows) = unsafe {
            if block.first {
                targets
                    .dk
                    .clear(place.batch, place.key_head, place.keys.clone());
                targets
                    .dv
                    .clear(place.batch, place.key_head, place.keys.clone());
            }
            (
                targets.dq.row(place.batch, block.head, place.queries.start),
                targets
                    .dk
                    .row(place.batch, place.key_head, place.keys.start),
                targets
                    .dv
                    .row(place.batch, place.key_head, place.keys.start),
            )
        };
        let mut memory = Memory::cut(memory, d, dv, sources.table_floats());
        // SAFETY: V's instructions are enabled where this runs.
        let finite = unsafe { pack_block::<V>(&head, &rows, &sources.rows(&block), &mut memory) };
        let drop = head
            .dropout
            .map(|drop| Drop::of(&drop, rows.clone(), memory.drop));
        let mut tiles = QueryTiles {
            head,
            rows: rows.clone(),
            finite,
            drop,
            memory,
        };
        for piece in runs(Walk::new(head.mask, rows.clone())) {
            turns.reach(worker, ticket, piece.keys.start / KEYS);
            let last = (piece.keys.end - 1) / KEYS;
            // SAFETY: V's instructions are enabled where this runs; the targets have the keys' rows,
            // and are written to in turn.
            unsafe {
                let (dk, dv_rows) = (dk.below(piece.keys.start), dv_rows.below(piece.keys.start));
                if tiles.weigh::<V>(&piece) {
                    tiles.add_query_gradient::<V>(&piece);
                    turns.await_turn(worker, ticket, last);
                    tiles.add_key_gradients::<V>(&piece, dk, dv_rows);
                } else {
                    turns.await_turn(worker, ticket, last);
                    tiles.add_visible(&piece, dk, dv_rows);
                }
                if let Some(table) = &targets.bias {
                    let lanes = tiles.lanes(&piece);
                    let queries = rows.start + lanes.start..rows.start + lanes.end;
                    let Memory { ds, table: own, .. } = &mut tiles.memory;
                    table.add(block.head, &queries, &piece.keys, &ds[lanes.start..], own);
                }
            }
        }
        if let Some(table) = &targets.bias {
            turns.await_all(worker, ticket);
            // SAFETY: all earlier blocks are done.
            unsafe { table.finish(block.head, tiles.memory.table) };
        }
        // SAFETY: V's instructions are enabled, and these rows of dQ belong to this block.
        unsafe {
            let to = Block {
                at: dq.data,
                stride: dq.row,
                rows: rows.len(),
                width: d,
            };
            unpack::<V>(tiles.memory.d_qt.as_ptr(), tiles.memory.scale.as_ptr(), to);
        }
    }
}

/// Joins pieces that continue one another over the keys, where nothing of them is hidden: the longer
/// a piece, the more often what it reads of the block comes from the L1 cache.
fn runs(walk: impl Iterator<Item = Piece>) -> impl Iterator<Item = Piece> {
    let mut walk = walk.peekable();
    std::iter::from_fn(move || {
        let mut piece = walk.next()?;
        while let Some(next) = walk.next_if(|next| {
            piece.cover == Cover::All
                && next.cover == Cover::All
                && next.lanes == piece.lanes
                && next.keys.start == piece.keys.end
                && next.keys.end - piece.keys.start <= RUN
        }) {
            piece.keys.end = next.keys.end;
        }
        Some(piece)
    })
}

/// Fills Qᵀ, dOᵀ, Q, dO, L and δ, and clears dQᵀ; gives whether Q, dO and δ are finite.
///
/// # Safety
/// V's instructions are enabled.
#[inline(always)]
unsafe fn pack_block<V: Vector>(
    head: &Head<'_>,
    rows: &Range<usize>,
    saved: &Rows<'_>,
    memory: &mut Memory<'_>,
) -> bool {
    let q = matrix(head.q.slice_axis(Axis(0), rows.clone().into()));
    let (d_o, o) = (matrix(saved.d_o), matrix(saved.o));
    memory.scale.fill(head.scale);
    memory.d_qt.fill(0.0);
    memory.table.fill(0.0);
    // A weight of 2^-inf for lanes without a query, and for queries that see nothing.
    memory.lse.fill(f32::INFINITY);
    for (to, lse) in memory.lse.iter_mut().zip(saved.lse) {
        if *lse != f32::NEG_INFINITY {
            *to = lse * LOG2_E;
        }
    }
    memory.delta.fill(0.0);
    // SAFETY: each copy has the rows of what it is a copy of, transposed ones a row for each column.
    unsafe {
        pack::<V>(q, head.scale * LOG2_E, memory.qt.as_mut_ptr());
        pack::<V>(d_o, 1.0, memory.d_ot.as_mut_ptr());
        dot_rows::<V>(d_o, o, memory.delta.as_mut_ptr());
        let to = |copy: &mut [f32], width| Target {
            data: copy.as_mut_ptr(),
            row: padded(width),
        };
        // The rows of the block that most likely comes next: of this head, or the first of the next.
        for x in [q, d_o, o] {
            let next = x.at.wrapping_add(x.rows * x.stride);
            prefetch_rows::<V>(Block {
                at: next,
                rows: QUERIES,
                ..x
            });
        }
        let finite = copy_rows::<V>(q, head.scale, to(memory.q, q.width))
            & copy_rows::<V>(d_o, 1.0, to(memory.d_o, d_o.width));
        finite && memory.delta.iter().all(|x| x.is_finite())
    }
}

/// Rows of a matrix, contiguous and running forwards.
pub(super) fn matrix(view: ArrayView2<'_, f32>) -> Block<*const f32> {
    Block {
        at: view.as_ptr(),
        stride: view.strides()[0].unsigned_abs(),
        rows: view.nrows(),
        width: view.ncols(),
    }
}
