//! Matrices in slices: products and transposes with every size checked, for variants that are built of
//! these instead of vectors.
//!
//! A call costs a few nanoseconds of checks and dispatch beside its work, so that it pays from some rows
//! on. Operands that are read in vectors have rows filled up to [`padded`] floats; what stands in the
//! filling does not matter.

use super::panel::{Finish, Left, Right, Target, product};
use super::vector::{Block, QUERIES, Vector};
use super::{Isa, Kernel, dispatch, transpose};
use crate::simd::Add;
use ndarray::{ArrayView2, ArrayViewMut2};

/// Floats of the widest vector.
const LINE: usize = 16;

/// A row's floats, filled up to whole vectors of any instruction set.
#[must_use]
pub const fn padded(width: usize) -> usize {
    width.next_multiple_of(LINE)
}

/// Rows of floats that are read.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// From the first float of the first row on.
    pub data: &'a [f32],
    /// Floats from one row to the next.
    pub stride: usize,
}

/// Rows of floats that are written.
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// From the first float of the first row on.
    pub data: &'a mut [f32],
    /// Floats from one row to the next.
    pub stride: usize,
}

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// It takes the place of what was there.
    Write,
    /// It is added to what was there.
    Add,
}

/// target `[rows, columns]` = or += left `[rows, steps]` · right `[steps, columns]`.
///
/// The left operand may be any view, a transposed one too; it is read float by float, in place.
/// Time O(rows·steps·columns), at 80 to 90 % of what the registers allow from some 16 rows and steps on.
///
/// # Panics
/// Where `right` has fewer than `steps` rows of `columns` floats filled up to [`padded`], `to` fewer than
/// `rows` rows of `columns` floats, or a stride of `left` is negative: faults in the caller.
pub fn multiply(
    isa: Isa,
    left: ArrayView2<'_, f32>,
    right: Rows<'_>,
    to: RowsMut<'_>,
    columns: usize,
    sum: Sum,
) {
    let (rows, steps) = left.dim();
    if rows == 0 || columns == 0 {
        return;
    }
    let strides = [left.strides()[0], left.strides()[1]].map(usize::try_from);
    let [Ok(row), Ok(step)] = strides else {
        panic!("the left operand has strides {:?}", left.strides());
    };
    let room = |rows: usize, stride: usize, width: usize| match rows {
        0 => 0,
        _ => (rows - 1) * stride + width,
    };
    assert!(
        right.data.len() >= room(steps, right.stride, padded(columns)),
        "the right operand holds {} floats, {steps} rows of {columns} are read",
        right.data.len()
    );
    assert!(
        to.data.len() >= room(rows, to.stride, columns) && (rows == 1 || to.stride >= columns),
        "the target holds {} floats, {rows} rows of {columns} are written",
        to.data.len()
    );
    let run = Product {
        left: Left {
            data: left.as_ptr(),
            row,
            step,
        },
        right: Right {
            data: right.data.as_ptr(),
            step: right.stride,
        },
        sizes: (rows, steps, columns),
        end: End {
            to: Target {
                data: to.data.as_mut_ptr(),
                row: to.stride,
            },
            rows,
            width: columns,
            sum,
        },
    };
    dispatch(isa, run);
}

struct Product {
    left: Left,
    right: Right,
    sizes: (usize, usize, usize),
    end: End,
}

impl Kernel for Product {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: inside dispatch; `multiply` has checked that the operands hold what is read and written.
        unsafe { product::<V, _>(self.left, self.right, self.sizes, self.end) }
    }
}

#[derive(Clone, Copy)]
struct End {
    to: Target,
    rows: usize,
    width: usize,
    sum: Sum,
}

impl End {
    fn add(self) -> Add {
        Add {
            to: self.to,
            rows: self.rows,
            width: self.width,
        }
    }
}

impl<V: Vector> Finish<V> for End {
    #[inline(always)]
    unsafe fn finish<const R: usize, const C: usize>(
        self,
        sums: [[V; C]; R],
        row: usize,
        column: usize,
    ) {
        if self.sum == Sum::Add {
            // SAFETY: the trait's contract.
            return unsafe { self.add().finish(sums, row, column) };
        }
        if column + C * V::LANES <= self.width {
            // By reference, so that the loops unroll and sums stay in registers.
            for (r, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    // SAFETY: the trait's contract.
                    unsafe { sum.store(self.to.at(row + r, column + c * V::LANES)) }
                }
            }
            return;
        }
        let mut lanes = [0.0; LINE];
        for (r, sums) in sums.into_iter().enumerate() {
            for (c, sum) in sums.into_iter().enumerate() {
                let column = column + c * V::LANES;
                // SAFETY: the trait's contract; no column from `width` on is touched.
                unsafe {
                    if column + V::LANES <= self.width {
                        sum.store(self.to.at(row + r, column));
                    } else if column < self.width {
                        sum.store(lanes.as_mut_ptr());
                        let to = self.to.at(row + r, column);
                        std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, self.width - column);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn expect<const R: usize, const C: usize>(self, row: usize, column: usize) {
        if self.sum == Sum::Add {
            Finish::<V>::expect::<R, C>(self.add(), row, column);
        }
    }
}

/// factor·Xᵀ `[width, QUERIES]` from X `[rows, width]`, at most [`QUERIES`] rows.
///
/// Columns behind the last row are left as they were, or become zero.
///
/// # Panics
/// Where `to` holds less than that.
pub fn pack_rows(isa: Isa, x: ArrayView2<'_, f32>, factor: f32, to: &mut [f32]) {
    let (rows, width) = x.dim();
    assert!(
        rows <= QUERIES && to.len() >= width * QUERIES,
        "{rows} rows of {width} floats do not fit {} floats",
        to.len()
    );
    match stride_of(x.strides(), width) {
        Some(stride) if !x.is_empty() => {
            let (at, to) = (x.as_ptr(), to.as_mut_ptr());
            let x = Block {
                at,
                stride,
                rows,
                width,
            };
            dispatch(isa, Pack { x, factor, to });
        }
        _ => {
            for ((r, c), x) in x.indexed_iter() {
                to[c * QUERIES + r] = factor * x;
            }
        }
    }
}

struct Pack {
    x: Block<*const f32>,
    factor: f32,
    to: *mut f32,
}

impl Kernel for Pack {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: inside dispatch; `pack_rows` has checked the sizes.
        unsafe { transpose::pack::<V>(self.x, self.factor, self.to) }
    }
}

/// X `[rows, width]` from Xᵀ `[width, QUERIES]`, row r times `factors[r]`.
///
/// # Panics
/// Where `from` holds less than that, or X has more than [`QUERIES`] rows.
pub fn unpack_rows(
    isa: Isa,
    from: &[f32],
    factors: &[f32; QUERIES],
    mut x: ArrayViewMut2<'_, f32>,
) {
    let (rows, width) = x.dim();
    assert!(
        rows <= QUERIES && from.len() >= width * QUERIES,
        "{rows} rows of {width} floats are not in {} floats",
        from.len()
    );
    match stride_of(x.strides(), width) {
        Some(stride) if !x.is_empty() => {
            let at = x.as_mut_ptr();
            let x = Block {
                at,
                stride,
                rows,
                width,
            };
            let (from, factors) = (from.as_ptr(), factors.as_ptr());
            dispatch(isa, Unpack { from, factors, x });
        }
        _ => {
            for ((r, c), x) in x.indexed_iter_mut() {
                *x = factors[r] * from[c * QUERIES + r];
            }
        }
    }
}

struct Unpack {
    from: *const f32,
    factors: *const f32,
    x: Block<*mut f32>,
}

impl Kernel for Unpack {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: inside dispatch; `unpack_rows` has checked the sizes.
        unsafe { transpose::unpack::<V>(self.from, self.factors, self.x) }
    }
}

/// Floats between rows that lie forward in memory, each in one piece.
fn stride_of(strides: &[isize], width: usize) -> Option<usize> {
    let in_pieces = width > 1 && strides[1] != 1;
    usize::try_from(strides[0]).ok().filter(|_| !in_pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, s};

    fn numbers(rows: usize, columns: usize, seed: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, columns), |(r, c)| {
            ((r * 31 + c * 17 + seed) % 23) as f32 - 11.0
        })
    }

    /// Whole numbers: every order of sums is exact. Nothing behind the columns is touched.
    #[test]
    fn products_are_those_of_plain_loops_for_all_sizes_and_views() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (rows, steps, columns) in
                [(1, 1, 1), (5, 7, 16), (13, 0, 3), (9, 64, 50), (70, 3, 65)]
            {
                for sum in [Sum::Write, Sum::Add] {
                    let tall = numbers(steps, rows, 1);
                    let right = numbers(steps, padded(columns), 2);
                    let mut to = numbers(rows, columns + 3, 3);
                    let mut expected = to.clone();
                    let mut part = expected.slice_mut(s![.., ..columns]);
                    let exact = tall.t().dot(&right.slice(s![.., ..columns]));
                    match sum {
                        Sum::Write => part.assign(&exact),
                        Sum::Add => part += &exact,
                    }
                    let right = Rows {
                        data: right.as_slice().unwrap(),
                        stride: padded(columns),
                    };
                    let target = RowsMut {
                        data: to.as_slice_mut().unwrap(),
                        stride: columns + 3,
                    };
                    multiply(isa, tall.t(), right, target, columns, sum);
                    assert_eq!(to, expected, "{isa:?} {rows} {steps} {columns} {sum:?}");
                }
            }
        }
    }

    #[test]
    fn packing_and_unpacking_give_rows_back_whatever_their_order_in_memory() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (rows, width) in [(1, 1), (64, 50), (17, 33), (40, 0)] {
                let x = numbers(rows, width, 5);
                let turned = x.t().as_standard_layout().into_owned();
                for view in [x.view(), turned.t(), x.slice(s![..;-1, ..])] {
                    let mut packed = vec![0.0; width * QUERIES];
                    pack_rows(isa, view, 2.0, &mut packed);
                    let mut back = Array2::zeros((rows, width));
                    unpack_rows(isa, &packed, &[0.5; QUERIES], back.view_mut());
                    assert_eq!(back, view);
                }
            }
        }
    }
}
