//! A tensor `[B, H, N, W]` by its rows, for several workers.

#![allow(unsafe_code)]

use super::kernels::Ahead;
use attention::Geometry;
use ndarray::{ArrayViewMut4, Axis};
use std::marker::PhantomData;
use std::ops::Range;

/// It hands out pointers; every row belongs to one task, which the plan of tasks sees to.
pub(super) struct Sheet<'a> {
    data: *mut f32,
    /// Floats from one batch entry, head and row to the next.
    strides: [isize; 3],
    dim: (usize, usize, usize, usize),
    /// First row of each history within its batch entry.
    first: fn(&Geometry, usize) -> usize,
    geometry: &'a Geometry,
    life: PhantomData<&'a mut f32>,
}

// SAFETY: the pointer is to f32 that outlive the sheet, and tasks write to rows of their own.
unsafe impl Sync for Sheet<'_> {}

impl<'a> Sheet<'a> {
    /// A tensor with a row for each query, its last axis contiguous.
    pub(super) fn of_queries(tensor: ArrayViewMut4<'a, f32>, geometry: &'a Geometry) -> Self {
        Self::of(tensor, geometry, |g, s| g.query_range(s).start)
    }

    /// A tensor with a row for each key, its last axis contiguous.
    pub(super) fn of_keys(tensor: ArrayViewMut4<'a, f32>, geometry: &'a Geometry) -> Self {
        Self::of(tensor, geometry, |g, s| g.key_range(s).start)
    }

    fn of(
        mut tensor: ArrayViewMut4<'a, f32>,
        geometry: &'a Geometry,
        first: fn(&Geometry, usize) -> usize,
    ) -> Self {
        let stride = |axis| tensor.stride_of(Axis(axis));
        Self {
            strides: [stride(0), stride(1), stride(2)],
            dim: tensor.dim(),
            data: tensor.as_mut_ptr(),
            first,
            geometry,
            life: PhantomData,
        }
    }

    /// Where `count` rows of a history and head begin, and floats from one to the next.
    pub(super) fn row(
        &self,
        sequence: usize,
        head: usize,
        row: usize,
        count: usize,
    ) -> (*mut f32, isize) {
        let batch = if self.geometry.is_jagged() {
            0
        } else {
            sequence
        };
        let row = (self.first)(self.geometry, sequence) + row;
        let (batches, heads, rows, _) = self.dim;
        assert!(batch < batches && head < heads && row + count <= rows);
        let offset = batch as isize * self.strides[0]
            + head as isize * self.strides[1]
            + row as isize * self.strides[2];
        (self.data.wrapping_offset(offset), self.strides[2])
    }

    /// The same rows, to be fetched before they are written.
    pub(super) fn ahead(&self, sequence: usize, head: usize, row: usize, count: usize) -> Ahead {
        let (at, step) = self.row(sequence, head, row, count);
        Ahead::of(at, step.unsigned_abs(), count, self.dim.3)
    }

    /// Sets rows to zero.
    pub(super) fn clear(&self, sequence: usize, head: usize, rows: Range<usize>) {
        let (at, step) = self.row(sequence, head, rows.start, rows.len());
        for r in 0..rows.len() {
            for c in 0..self.dim.3 {
                // SAFETY: the row exists, and belongs to the task that calls.
                unsafe { at.offset(r as isize * step).add(c).write(0.0) };
            }
        }
    }
}
