//! The vector kernels that the engine is made of, each behind a safe call that checks its sizes.
//!
//! A call costs a few nanoseconds of dispatch and does the work of a chunk, so that every kernel is
//! compiled once an instruction set and the engine around them is plain code.
//!
//! Rows are padded to whole vectors: widths and strides count [`LANES`], what lies behind the real
//! columns is zero in features and states, and anything in sums.

mod gradient;
mod product;
mod rows;

pub(crate) use gradient::{add_outer, add_running_dots, add_weighted_columns, multiply_by};
pub(crate) use product::{Ahead, Operand, add_product, set_product};
pub(crate) use rows::{
    add_columns, add_dots, are_finite, columns, load_rows, mask_rows, scale_rows, scale_rows_to,
    transpose,
};

/// Floats by which columns are counted: the widest vector of any machine.
pub(crate) const LANES: usize = 16;

/// Row-major matrix: where it starts, and floats from one row to the next.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
}

/// [`Rows`] to write to.
pub(crate) struct RowsMut<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) stride: usize,
}

pub(crate) fn rows(data: &[f32], stride: usize) -> Rows<'_> {
    Rows { data, stride }
}

pub(crate) fn rows_mut(data: &mut [f32], stride: usize) -> RowsMut<'_> {
    RowsMut { data, stride }
}

impl<'a> Rows<'a> {
    /// As the left operand of a product.
    pub(crate) fn left(self) -> Operand<'a> {
        Operand {
            data: self.data,
            row: self.stride,
            step: 1,
        }
    }

    /// Its transpose as the left operand of a product: nothing is moved.
    pub(crate) fn transposed(self) -> Operand<'a> {
        Operand {
            data: self.data,
            row: 1,
            step: self.stride,
        }
    }

    /// The rows from `first` on.
    pub(crate) fn from(self, first: usize) -> Self {
        Self {
            data: &self.data[first * self.stride..],
            stride: self.stride,
        }
    }

    fn holds(&self, count: usize, width: usize) -> bool {
        count == 0 || (count - 1) * self.stride + width <= self.data.len()
    }
}

impl RowsMut<'_> {
    fn holds(&self, count: usize, width: usize) -> bool {
        count == 0 || (count - 1) * self.stride + width <= self.data.len()
    }
}
