//! Outputs that tasks write side by side.

#![allow(unsafe_code)]

use ndarray::{ArrayBase, DataMut, Dimension};
use std::marker::PhantomData;

/// A tensor `[B, H, N, width]` or `[B, H, N]` whose rows belong to different tasks.
pub(super) struct Shared<'a> {
    at: *mut f32,
    strides: [isize; 3],
    /// Entries of the first three axes, and of the last.
    size: [usize; 3],
    width: usize,
    tensor: PhantomData<&'a mut [f32]>,
}

// SAFETY: rows are written through `row`, whose caller owns them.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Over a tensor of three or four axes, the fourth contiguous.
    pub(super) fn of<S: DataMut<Elem = f32>, D: Dimension>(
        tensor: &'a mut ArrayBase<S, D>,
    ) -> Self {
        let axis = |n: usize| tensor.strides().get(n).copied().unwrap_or(1);
        let size = |n: usize| tensor.shape().get(n).copied().unwrap_or(1);
        Self {
            strides: [axis(0), axis(1), axis(2)],
            size: [size(0), size(1), size(2)],
            width: size(3),
            at: tensor.as_mut_ptr(),
            tensor: PhantomData,
        }
    }

    /// `width` entries from `column` on of one row.
    ///
    /// # Safety
    /// No other task reads or writes them while the slice lives.
    #[allow(clippy::mut_from_ref)] // Whose they are is the caller's business.
    pub(super) unsafe fn row(&self, row: [usize; 3], column: usize, width: usize) -> &mut [f32] {
        assert!(row.iter().zip(self.size).all(|(at, size)| *at < size));
        assert!(column + width <= self.width);
        let places = row.iter().zip(self.strides);
        let offset: isize = places.map(|(at, stride)| *at as isize * stride).sum();
        // SAFETY: the entries lie within the tensor; they are the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.at.offset(offset).add(column), width) }
    }
}
