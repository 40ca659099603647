//! Arithmetic on matrices in scratch memory, each operation one kernel on the chosen instruction set.
//!
//! Operations take slices and check their sizes once a call, so that the algorithms above them are
//! plain code. A chunk's product takes a microsecond or more: a dispatch is nothing beside it.

#![allow(unsafe_code)]

mod ending;
mod lanes;
mod rows;
mod scan;
mod solve;

pub(super) use ending::{Decay, Factor, How};
pub(super) use lanes::{LaneDecays, SIDE, Triangle};
pub(super) use rows::UNIT_FLOOR;
pub(super) use scan::{CHANNELS, StepGradients, Steps};

use super::CHUNK;
use attention::simd::{self, Block, Isa, Kernel, Target, Vector, dispatch};
use ending::Ending;
use ndarray::ArrayView2;

/// The operations, on one instruction set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ops {
    pub(super) isa: Isa,
}

/// A matrix read one float at a time: entry (r, t) at `r·row + t·step`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) data: &'a [f32],
    pub(super) row: usize,
    pub(super) step: usize,
}

/// A matrix read in vectors: entry (t, c) at `t·step + c`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) data: &'a [f32],
    pub(super) step: usize,
}

/// Where sums go: entry (r, c) at `r·row + c`, rows padded to whole vectors.
pub(super) struct To<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) row: usize,
}

/// The matrix whose rows are `row` floats apart.
pub(super) fn rows(data: &[f32], row: usize) -> Left<'_> {
    Left { data, row, step: 1 }
}

/// The transpose of the matrix whose rows are `row` floats apart.
pub(super) fn columns(data: &[f32], row: usize) -> Left<'_> {
    Left {
        data,
        row: 1,
        step: row,
    }
}

/// Floats up to the end of `count` runs of `width` that begin `stride` apart.
fn extent(count: usize, stride: usize, width: usize) -> usize {
    match count {
        0 => 0,
        n => (n - 1) * stride + width,
    }
}

impl Ops {
    /// `to` = how(left·right), for (rows, steps, columns), columns rounded up to whole vectors.
    pub(super) fn product(
        self,
        left: Left<'_>,
        right: Right<'_>,
        (rows, steps, columns): (usize, usize, usize),
        to: To<'_>,
        how: How<'_>,
    ) {
        if rows == 0 || columns == 0 {
            return;
        }
        let padded = columns.next_multiple_of(16);
        if steps > 0 {
            assert!(left.data.len() > (rows - 1) * left.row + (steps - 1) * left.step);
            assert!(right.data.len() >= extent(steps, right.step, padded));
        }
        assert!(to.data.len() >= extent(rows, to.row, padded));
        how.check(rows, padded);
        dispatch(
            self.isa,
            Product {
                left: simd::Left {
                    data: left.data.as_ptr(),
                    row: left.row,
                    step: left.step,
                },
                right: simd::Right {
                    data: right.data.as_ptr(),
                    step: right.step,
                },
                sizes: (rows, steps, columns),
                ending: Ending {
                    to: Target {
                        data: to.data.as_mut_ptr(),
                        row: to.row,
                    },
                    how,
                },
            },
        );
    }

    /// Copies `factor` times the rows of a matrix to rows that are `row` floats apart; gives whether
    /// all of them are finite.
    pub(super) fn copy(
        self,
        from: ArrayView2<'_, f32>,
        factor: f32,
        to: &mut [f32],
        row: usize,
    ) -> bool {
        let (count, width) = from.dim();
        if count == 0 || width == 0 {
            return true;
        }
        assert!(width <= 1 || from.strides()[1] == 1);
        assert!(count <= 1 || from.strides()[0] >= 0);
        assert!(to.len() >= extent(count, row, width));
        let mut finite = true;
        dispatch(
            self.isa,
            Copy {
                from: Block {
                    at: from.as_ptr(),
                    stride: from.strides()[0] as usize,
                    rows: count,
                    width,
                },
                factor,
                to: Target {
                    data: to.as_mut_ptr(),
                    row,
                },
                finite: &mut finite,
            },
        );
        finite
    }

    /// `to` = Xᵀ, X having `count` rows of `width` floats that are `row` floats apart; rows of `to`
    /// are padded with zeros to whole vectors.
    pub(super) fn transpose(
        self,
        from: &[f32],
        (count, width, row): (usize, usize, usize),
        to: &mut [f32],
        to_row: usize,
    ) {
        if count == 0 || width == 0 {
            return;
        }
        assert!(from.len() >= extent(count, row, width));
        assert!(to.len() >= extent(width, to_row, count.next_multiple_of(16)));
        let from = Block {
            at: from.as_ptr(),
            stride: row,
            rows: count,
            width,
        };
        let to = Target {
            data: to.as_mut_ptr(),
            row: to_row,
        };
        dispatch(self.isa, Transpose { from, to });
    }
}

struct Product<'a> {
    left: simd::Left,
    right: simd::Right,
    sizes: (usize, usize, usize),
    ending: Ending<'a>,
}

impl Kernel for Product<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: inside dispatch; sizes were checked against the slices.
        unsafe { simd::product::<V, _>(self.left, self.right, self.sizes, self.ending) }
    }
}

struct Copy<'a> {
    from: Block<*const f32>,
    factor: f32,
    to: Target,
    finite: &'a mut bool,
}

impl Kernel for Copy<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: inside dispatch; sizes were checked against the slices.
        unsafe { *self.finite = simd::copy_rows::<V>(self.from, self.factor, self.to) }
    }
}

struct Transpose {
    from: Block<*const f32>,
    to: Target,
}

impl Kernel for Transpose {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { from, to } = self;
        for lane in (0..from.rows).step_by(V::LANES) {
            for c in (0..from.width).step_by(V::LANES) {
                let width = (from.width - c).min(V::LANES);
                // SAFETY: inside dispatch; both corners lie within the slices that were checked.
                unsafe {
                    let block = Block {
                        at: from.at.add(lane * from.stride + c),
                        stride: from.stride,
                        rows: (from.rows - lane).min(V::LANES),
                        width,
                    };
                    let to = Block {
                        at: to.at(c, lane),
                        stride: to.row,
                        rows: width,
                        width: V::LANES,
                    };
                    V::transpose(block, V::splat(1.0), to);
                }
            }
        }
    }
}

/// 0, 1, 2 ...: the columns of a block of scores.
pub(super) static COLUMNS: [f32; CHUNK] = {
    let mut columns = [0.0; CHUNK];
    let mut j = 0;
    while j < CHUNK {
        columns[j] = j as f32;
        j += 1;
    }
    columns
};
