//! Rows in memory, and what is needed after them.

use super::Element;
use crate::simd::Vector;

/// Rows, apart by a stride.
#[derive(Clone, Copy)]
pub(crate) struct Rows<T> {
    /// The first row.
    pub(crate) start: *const T,
    /// Elements from one row to the next.
    pub(crate) stride: usize,
    /// How many.
    pub(crate) rows: usize,
}

impl<T> Rows<T> {
    /// # Safety
    /// `row` is one of them.
    #[inline(always)]
    pub(super) unsafe fn at(self, row: usize) -> *const T {
        // SAFETY: the caller's.
        unsafe { self.start.add(row * self.stride) }
    }
}

/// How far ahead of what is read the memory lies that is needed next, in bytes.
///
/// The processor's own prefetching starts anew where one stream of rows gives way to the other, which
/// halves the bandwidth; asking for a line with every line that is read keeps it busy.
#[derive(Clone, Copy)]
pub(crate) struct Ahead(isize);

impl Ahead {
    /// From `rows`, which are read, to `next`, where its rows are as far apart; else to what follows.
    #[inline(always)]
    pub(crate) fn of<T>(rows: Rows<T>, next: Rows<T>) -> Self {
        let next = if next.stride == rows.stride {
            next.start
        } else {
            rows.start.wrapping_add(rows.rows * rows.stride)
        };
        Self((next as isize).wrapping_sub(rows.start as isize))
    }

    /// Asks for what lies ahead of `at`, which is column `column` of a row.
    #[inline(always)]
    pub(super) fn fetch<V: Vector, E: Element>(self, at: *const E, column: usize) {
        if (column * size_of::<E>()).is_multiple_of(64) {
            V::prefetch(at.wrapping_byte_offset(self.0).cast());
        }
    }
}
