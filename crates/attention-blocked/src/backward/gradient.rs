//! Gradient tensors as rows that workers write to.

use crate::simd::Target;
use ndarray::Array4;
use std::ops::Range;

/// A `[B, H, N, D]` tensor by its rows, for several workers.
///
/// It hands out pointers; who may write where is decided by the chains: a row of dQ belongs to one
/// block of queries, and rows of dK and dV are written in turns.
pub(super) struct Gradient {
    data: *mut f32,
    heads: usize,
    rows: usize,
    width: usize,
}

// SAFETY: the pointer is to f32 that outlive the call, and writes are ordered as said above.
unsafe impl Sync for Gradient {}

impl Gradient {
    /// A tensor in row-major order.
    pub(super) fn of(tensor: &mut Array4<f32>) -> Self {
        let (_, heads, rows, width) = tensor.dim();
        Self {
            data: tensor.as_mut_ptr(),
            heads,
            rows,
            width,
        }
    }

    /// Row `row` of one batch entry and head, and how far the next is.
    ///
    /// # Safety
    /// The row exists, or is the one behind the last.
    pub(super) unsafe fn row(&self, batch: usize, head: usize, row: usize) -> Target {
        let row = (batch * self.heads + head) * self.rows + row;
        Target {
            // SAFETY: within the tensor by the caller's promise.
            data: unsafe { self.data.add(row * self.width) },
            row: self.width,
        }
    }

    /// Sets rows of one batch entry and head to zero.
    ///
    /// # Safety
    /// The rows exist, and nobody else is at them.
    pub(super) unsafe fn clear(&self, batch: usize, head: usize, rows: Range<usize>) {
        // SAFETY: within the tensor by the caller's promise.
        unsafe {
            let first = self.row(batch, head, rows.start).data;
            std::slice::from_raw_parts_mut(first, rows.len() * self.width).fill(0.0);
        }
    }
}
