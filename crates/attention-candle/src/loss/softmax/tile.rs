//! Some positions against the catalogue, a block of items at a time.
//!
//! Positions are the lanes of vectors: logits lie as Sᵀ `[I, POSITIONS]`, so that the items' vectors are read as
//! they are, and maxima and sums go lane by lane.

use crate::loss::SKIP;
use attention::Scratch;
use attention::numeric::{LOG2_E, exp2_nonpositive};
use attention::simd::matrix::{Rows, RowsMut, Sum, multiply, pack_rows, padded, unpack_rows};
use attention::simd::{Isa, QUERIES};
use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use std::ops::Range;

/// Positions of a tile.
pub(super) const POSITIONS: usize = QUERIES;

/// Items of a block: 32 KiB of logits, which stay near from one product to the next.
const BLOCK: usize = 128;

/// Items whose powers are kept from the loss to the gradients, 1 MiB: an L2 cache. Of a larger catalogue they are
/// made anew, which is a product more and less than fetching them.
const KEPT: usize = 4096;

/// One number a position.
type Lanes = [f32; POSITIONS];

/// Scratch of a tile, and the catalogue.
pub(super) struct Tile<'i> {
    isa: Isa,
    /// E `[I, D]`.
    items: ArrayView2<'i, f32>,
    /// Hᵀ·log2(e) `[D, POSITIONS]`, and H with its rows filled up.
    h_t: &'i mut [f32],
    h: &'i mut [f32],
    /// 2^(s - m) `[I or BLOCK, POSITIONS]`, m being the block's maximum.
    powers: &'i mut [f32],
    /// Of each block: m, and the powers' sums.
    maxima: Vec<Lanes>,
    sums: Vec<Lanes>,
    /// log2 Σ 2^s.
    normalisers: Lanes,
    /// dHᵀ `[D, POSITIONS]`.
    dh_t: &'i mut [f32],
}

impl<'i> Tile<'i> {
    /// Scratch is aligned to cache lines: where vectors lie across two, products take 1.4 times as long.
    pub(super) fn new(items: &'i [f32], width: usize, scratch: &'i mut Scratch) -> Self {
        let items = matrix(items, width);
        let count = items.nrows();
        let blocks = count.div_ceil(BLOCK);
        let kept = if count <= KEPT { count } else { BLOCK };
        let lanes = width * POSITIONS;
        let filled = POSITIONS * padded(width);
        let memory = scratch.part(2 * lanes + filled + kept * POSITIONS);
        memory.fill(0.0);
        let (h_t, memory) = memory.split_at_mut(lanes);
        let (dh_t, memory) = memory.split_at_mut(lanes);
        let (h, powers) = memory.split_at_mut(filled);
        Self {
            isa: Isa::detect(),
            items,
            h_t,
            h,
            powers,
            maxima: vec![[0.0; POSITIONS]; blocks],
            sums: vec![[0.0; POSITIONS]; blocks],
            normalisers: [0.0; POSITIONS],
            dh_t,
        }
    }

    /// Σ -ln softmax(h·Eᵀ)\[target\] of at most [`POSITIONS`] states `[T, D]`; keeps what gradients need.
    pub(super) fn loss(&mut self, h: &[f32], targets: &[u32]) -> f64 {
        let width = self.items.ncols();
        let rows = matrix(h, width);
        pack_rows(self.isa, rows, LOG2_E, self.h_t);
        for (row, to) in rows.outer_iter().zip(self.h.chunks_mut(padded(width))) {
            row.iter().zip(to).for_each(|(x, to)| *to = *x);
        }
        let mut chosen = [0.0; POSITIONS];
        for n in 0..self.maxima.len() {
            self.scores(n);
            let (block, scores) = (self.block(n), &self.powers[self.place(n)]);
            for (lane, target) in targets.iter().enumerate() {
                if block.contains(&(*target as usize)) {
                    chosen[lane] = scores[(*target as usize - block.start) * POSITIONS + lane];
                }
            }
            self.raise(n);
        }
        let mut loss = 0.0;
        for (lane, target) in targets.iter().enumerate() {
            let blocks = || {
                self.maxima
                    .iter()
                    .zip(&self.sums)
                    .map(|(m, l)| (m[lane], l[lane]))
            };
            let max = blocks().fold(f32::NEG_INFINITY, |max, (m, _)| max.max(m));
            let sum: f32 = blocks().map(|(m, l)| l * exp2_nonpositive(m - max)).sum();
            self.normalisers[lane] = max + sum.log2();
            if *target != SKIP {
                let bits = f64::from(self.normalisers[lane] - chosen[lane]);
                loss += bits * std::f64::consts::LN_2;
            }
        }
        loss
    }

    /// Writes factor times the loss's gradient by the states to `dh` `[T, D]`, and adds that by the items to `ditems`
    /// `[I, D]`. The states are those that [`loss`](Self::loss) was given last.
    pub(super) fn gradients(
        &mut self,
        targets: &[u32],
        factor: f32,
        dh: &mut [f32],
        ditems: &mut [f32],
    ) {
        let width = self.items.ncols();
        let count = targets.len();
        self.dh_t.fill(0.0);
        for n in 0..self.maxima.len() {
            if self.items.nrows() > KEPT {
                self.scores(n);
                self.raise(n);
            }
            let (block, place) = (self.block(n), self.place(n));
            let mut factors = [0.0; POSITIONS];
            for (lane, target) in targets.iter().enumerate() {
                if *target != SKIP {
                    // No logit exceeds the normaliser, but for its rounding.
                    let below = (self.maxima[n][lane] - self.normalisers[lane]).min(0.0);
                    factors[lane] = factor * exp2_nonpositive(below);
                }
            }
            let slopes = &mut self.powers[place];
            pulp::Arch::new().dispatch(Scale {
                rows: slopes,
                factors: &factors,
            });
            for (lane, target) in targets.iter().enumerate() {
                if block.contains(&(*target as usize)) {
                    slopes[(*target as usize - block.start) * POSITIONS + lane] -= factor;
                }
            }
            let e = self.items.slice_axis(Axis(0), block.clone().into());
            let right = Rows {
                data: slopes,
                stride: POSITIONS,
            };
            let to = RowsMut {
                data: self.dh_t,
                stride: POSITIONS,
            };
            multiply(self.isa, e.t(), right, to, POSITIONS, Sum::Add);
            let left = matrix(slopes, POSITIONS);
            let right = Rows {
                data: self.h,
                stride: padded(width),
            };
            let to = RowsMut {
                data: &mut ditems[block.start * width..block.end * width],
                stride: width,
            };
            multiply(
                self.isa,
                left.slice_axis(Axis(1), (..count).into()),
                right,
                to,
                width,
                Sum::Add,
            );
        }
        let dh = ArrayViewMut2::from_shape((count, width), dh).expect("a row of D a target");
        unpack_rows(self.isa, self.dh_t, &[1.0; QUERIES], dh);
    }

    /// The items of block n.
    fn block(&self, n: usize) -> Range<usize> {
        n * BLOCK..self.items.nrows().min((n + 1) * BLOCK)
    }

    /// Where its powers lie.
    fn place(&self, n: usize) -> Range<usize> {
        let block = self.block(n);
        let first = if self.items.nrows() <= KEPT {
            block.start
        } else {
            0
        };
        first * POSITIONS..(first + block.len()) * POSITIONS
    }

    /// Logits of a block in units of ln 2, into the place of its powers.
    fn scores(&mut self, n: usize) {
        let (e, place) = (
            self.items.slice_axis(Axis(0), self.block(n).into()),
            self.place(n),
        );
        let right = Rows {
            data: self.h_t,
            stride: POSITIONS,
        };
        let to = RowsMut {
            data: &mut self.powers[place],
            stride: POSITIONS,
        };
        multiply(self.isa, e, right, to, POSITIONS, Sum::Write);
    }

    /// From logits to powers, with their maxima and sums.
    fn raise(&mut self, n: usize) {
        let place = self.place(n);
        pulp::Arch::new().dispatch(Raise {
            rows: &mut self.powers[place],
            max: &mut self.maxima[n],
            sum: &mut self.sums[n],
        });
    }
}

fn matrix(data: &[f32], columns: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((data.len() / columns.max(1), columns), data)
        .expect("whole rows of a checked shape")
}

/// x becomes 2^(x - max), lane by lane.
struct Raise<'a> {
    rows: &'a mut [f32],
    max: &'a mut Lanes,
    sum: &'a mut Lanes,
}

impl pulp::WithSimd for Raise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let (rows, _) = self.rows.as_chunks_mut::<POSITIONS>();
        let mut max = [f32::NEG_INFINITY; POSITIONS];
        for row in &*rows {
            for n in 0..POSITIONS {
                max[n] = if row[n] > max[n] { row[n] } else { max[n] };
            }
        }
        let mut sum = [0.0; POSITIONS];
        for row in rows {
            for n in 0..POSITIONS {
                row[n] = exp2_nonpositive(row[n] - max[n]);
                sum[n] += row[n];
            }
        }
        (*self.max, *self.sum) = (max, sum);
    }
}

/// Rows times a factor a lane.
struct Scale<'a> {
    rows: &'a mut [f32],
    factors: &'a Lanes,
}

impl pulp::WithSimd for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let (rows, _) = self.rows.as_chunks_mut::<POSITIONS>();
        for row in rows {
            for (x, factor) in row.iter_mut().zip(self.factors) {
                *x *= factor;
            }
        }
    }
}
