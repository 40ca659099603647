//! One piece, a rectangle of queries and up to 64 keys, in five products.
//!
//! Lanes are queries for Sᵀ, dPᵀ and dQᵀ, with K and V read as they lie; for dV and dK lanes are
//! columns, and the weights are what is read float by float. So nothing of K and V is ever packed,
//! and of Q and dO a transposed and a natural copy serve a whole row of pieces.

use super::bias;
use super::block::matrix;
use super::finish::{Exponentiate, Weigh};
use super::memory::{Memory, padded};
use crate::simd::{Add, Drop, Left, QUERIES, Right, Target, Vector, are_finite, product};
use attention::Head;
use attention::walk::{Cover, KEYS, Piece};
use ndarray::{ArrayView2, Axis};
use std::ops::Range;

/// A block of queries with its working memory.
pub(super) struct QueryTiles<'h, 'm> {
    pub(super) head: Head<'h>,
    /// The block's queries.
    pub(super) rows: Range<usize>,
    /// Whether Q, dO and δ of the block are finite.
    pub(super) finite: bool,
    /// Dropout's choices for the block.
    pub(super) drop: Option<Drop>,
    pub(super) memory: Memory<'m>,
}

impl<'h> QueryTiles<'h, '_> {
    /// The lanes of a piece that hold queries.
    pub(super) fn lanes(&self, piece: &Piece) -> Range<usize> {
        piece.lanes.start..piece.lanes.end.min(self.rows.len())
    }

    /// Pᵀ = 2^(Sᵀ - L) and dSᵀ = Pᵀ∘(dPᵀ - δ), both zero where hidden; with dropout's multipliers M,
    /// dSᵀ = Pᵀ∘(M∘dPᵀ - δ) and then Pᵀ becomes M∘Pᵀ. Gives whether zero times
    /// whatever a hidden pair meets in the other products is zero too.
    ///
    /// # Safety
    /// V's instructions are enabled.
    #[inline(always)]
    pub(super) unsafe fn weigh<V: Vector>(&mut self, piece: &Piece) -> bool {
        let (k, v) = (self.keys(self.head.k, piece), self.keys(self.head.v, piece));
        // SAFETY: V's instructions are enabled.
        let safe = piece.cover == Cover::All
            || self.finite && unsafe { are_finite::<V>(matrix(k)) && are_finite::<V>(matrix(v)) };
        let lanes = self.lanes(piece);
        let memory = &mut self.memory;
        // SAFETY: tiles have a row of QUERIES floats for each key, transposed operands for each of D
        // and Dv; K and V have the rows of the piece.
        unsafe {
            let p = lanes_from(memory.p, lanes.start);
            let (left, right) = (rows_of(k), operand(memory.qt, lanes.start));
            let size = (k.nrows(), k.ncols(), lanes.len());
            let shift = memory.lse.as_ptr().add(lanes.start);
            let later = self.head.bias.is_some();
            product::<V, _>(
                left,
                right,
                size,
                Exponentiate {
                    to: p,
                    shift,
                    later,
                },
            );
            if let Some(bias) = self.head.bias {
                let corner = (self.rows.start + lanes.start, piece.keys.start);
                bias::exponentiate::<V>(p, (k.nrows(), lanes.len()), shift, bias, corner);
            }
            if piece.cover != Cover::All {
                hide(&self.head, &self.rows, piece, memory.p);
            }
            let (left, right) = (rows_of(v), operand(memory.d_ot, lanes.start));
            let size = (v.nrows(), v.ncols(), lanes.len());
            let finish = Weigh {
                to: lanes_from(memory.ds, lanes.start),
                factor: memory.p.as_mut_ptr().add(lanes.start),
                shift: memory.delta.as_ptr().add(lanes.start),
                drop: self.drop,
                corner: (piece.keys.start, lanes.start),
            };
            product::<V, _>(left, right, size, finish);
        }
        if !safe {
            hide(&self.head, &self.rows, piece, memory.ds);
        }
        safe
    }

    /// dQᵀ += Kᵀ·dSᵀ.
    ///
    /// # Safety
    /// V's instructions are enabled.
    #[inline(always)]
    pub(super) unsafe fn add_query_gradient<V: Vector>(&mut self, piece: &Piece) {
        let k = self.keys(self.head.k, piece);
        let lanes = self.lanes(piece);
        // SAFETY: as in `weigh`.
        unsafe {
            let to = lanes_from(self.memory.d_qt, lanes.start);
            let width = QUERIES - lanes.start;
            // dSᵀ is read again for every few columns, and so in parts that fit the L1 cache.
            let parts = k.axis_chunks_iter(Axis(0), KEYS);
            for (k, ds) in parts.zip(self.memory.ds.chunks(KEYS * QUERIES)) {
                let rows = rows_of(k);
                let left = Left {
                    row: rows.step,
                    step: rows.row,
                    ..rows
                };
                let right = operand(ds, lanes.start);
                let size @ (rows, ..) = (k.ncols(), k.nrows(), lanes.len());
                product::<V, _>(left, right, size, Add { to, rows, width });
            }
        }
    }

    /// dV += Pᵀ·dO and dK += dSᵀ·(scale·Q), in the rows of the piece's keys.
    ///
    /// # Safety
    /// V's instructions are enabled; `dk` and `dv` have rows of D and Dv floats for the keys, and
    /// nobody else is at them.
    #[inline(always)]
    pub(super) unsafe fn add_key_gradients<V: Vector>(
        &mut self,
        piece: &Piece,
        dk: Target,
        dv: Target,
    ) {
        let lanes = self.lanes(piece);
        let memory = &self.memory;
        let (d, value_d) = (self.head.q.ncols(), self.head.v.ncols());
        for (weights, operand, width, to) in [
            (&*memory.p, &*memory.d_o, value_d, dv),
            (&*memory.ds, &*memory.q, d, dk),
        ] {
            // SAFETY: as in `weigh`; the targets are the caller's.
            unsafe {
                let left = Left {
                    data: weights.as_ptr().add(lanes.start),
                    row: QUERIES,
                    step: 1,
                };
                let right = Right {
                    data: operand.as_ptr().add(lanes.start * padded(width)),
                    step: padded(width),
                };
                let size @ (rows, ..) = (piece.keys.len(), lanes.len(), width);
                product::<V, _>(left, right, size, Add { to, rows, width });
            }
        }
    }

    /// The last three products pair by pair, over visible pairs alone: for pieces in which a hidden
    /// pair would meet what is not finite, since 0·NaN is NaN.
    ///
    /// # Safety
    /// As for [`add_key_gradients`](Self::add_key_gradients).
    pub(super) unsafe fn add_visible(&mut self, piece: &Piece, dk: Target, dv: Target) {
        let (d, value_d) = (self.head.q.ncols(), self.head.v.ncols());
        let (mask, memory) = (self.head.mask, &mut self.memory);
        for (row, j) in piece.keys.clone().enumerate() {
            // SAFETY: the caller's.
            let (dk, dv) = unsafe {
                (
                    std::slice::from_raw_parts_mut(dk.below(row).data, d),
                    std::slice::from_raw_parts_mut(dv.below(row).data, value_d),
                )
            };
            let lanes = piece.lanes.start..piece.lanes.end.min(self.rows.len());
            for lane in lanes.filter(|lane| mask.visible(self.rows.start + lane, j)) {
                let (p, ds) = (
                    memory.p[row * QUERIES + lane],
                    memory.ds[row * QUERIES + lane],
                );
                let d_o = &memory.d_o[lane * padded(value_d)..];
                dv.iter_mut().zip(d_o).for_each(|(dv, x)| *dv += p * x);
                let q = &memory.q[lane * padded(d)..];
                dk.iter_mut().zip(q).for_each(|(dk, x)| *dk += ds * x);
                let d_qt = memory.d_qt.chunks_exact_mut(QUERIES);
                for (dq, k) in d_qt.zip(self.head.k.row(j)) {
                    dq[lane] += ds * k;
                }
            }
        }
    }

    fn keys(&self, matrix: ArrayView2<'h, f32>, piece: &Piece) -> ArrayView2<'h, f32> {
        matrix.slice_axis_move(Axis(0), piece.keys.clone().into())
    }
}

/// A matrix read float by float along its rows.
fn rows_of(matrix: ArrayView2<'_, f32>) -> Left {
    Left {
        data: matrix.as_ptr(),
        // Rows run forwards wherever there is more than one of them to step between.
        row: matrix.strides()[0].unsigned_abs(),
        step: 1,
    }
}

/// A transposed operand or a tile, from `lane` on.
///
/// # Safety
/// It has that lane.
unsafe fn operand(tile: &[f32], lane: usize) -> Right {
    Right {
        // SAFETY: the caller's.
        data: unsafe { tile.as_ptr().add(lane) },
        step: QUERIES,
    }
}

/// A tile to write to, from `lane` on.
///
/// # Safety
/// It has that lane.
unsafe fn lanes_from(tile: &mut [f32], lane: usize) -> Target {
    Target {
        // SAFETY: the caller's.
        data: unsafe { tile.as_mut_ptr().add(lane) },
        row: QUERIES,
    }
}

/// Sets hidden pairs of a piece to zero, whatever they were.
fn hide(head: &Head<'_>, rows: &Range<usize>, piece: &Piece, tile: &mut [f32]) {
    let lanes = piece.lanes.start..piece.lanes.end.min(rows.len());
    for (tile, j) in tile.chunks_exact_mut(QUERIES).zip(piece.keys.clone()) {
        let seen = head.mask.queries_of(j);
        let lane_of =
            |i: usize| i.clamp(rows.start + lanes.start, rows.start + lanes.end) - rows.start;
        let (first, last) = (lane_of(seen.start), lane_of(seen.end));
        tile[lanes.start..first].fill(0.0);
        tile[last..lanes.end].fill(0.0);
        if piece.cover == Cover::Pairs {
            for (x, i) in tile[first..last].iter_mut().zip(rows.start + first..) {
                if !head.mask.regular(i, j) {
                    *x = 0.0;
                }
            }
        }
    }
}
