//! Products of rows, and what is fetched meanwhile.

#![allow(unsafe_code)]

use super::{LANES, Rows, RowsMut};
use attention::simd::{
    Block, Finish, Isa, Kernel, Left, Right, Target, Vector, dispatch, prefetch_rows, product,
};

/// The left operand of a product: row r, step t at `r·row + t·step`.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(super) data: &'a [f32],
    pub(super) row: usize,
    pub(super) step: usize,
}

/// Rows, steps and columns of a product.
pub(crate) type Sizes = (usize, usize, usize);

/// C += A·B, while what lies ahead is fetched. Columns count whole [`LANES`].
pub(crate) fn add_product(
    isa: Isa,
    a: Operand<'_>,
    b: Rows<'_>,
    sizes: Sizes,
    c: RowsMut<'_>,
    ahead: Ahead,
) {
    multiply::<true>(isa, a, b, sizes, c, ahead);
}

/// C = A·B, while what lies ahead is fetched. Columns count whole [`LANES`].
pub(crate) fn set_product(
    isa: Isa,
    a: Operand<'_>,
    b: Rows<'_>,
    sizes: Sizes,
    c: RowsMut<'_>,
    ahead: Ahead,
) {
    multiply::<false>(isa, a, b, sizes, c, ahead);
}

fn multiply<const ADD: bool>(
    isa: Isa,
    a: Operand<'_>,
    b: Rows<'_>,
    sizes: Sizes,
    c: RowsMut<'_>,
    ahead: Ahead,
) {
    let (rows, steps, columns) = sizes;
    if rows == 0 || columns == 0 || ADD && steps == 0 {
        return;
    }
    assert!(columns.is_multiple_of(LANES) && b.holds(steps, columns) && c.holds(rows, columns));
    assert!(steps == 0 || (rows - 1) * a.row + (steps - 1) * a.step < a.data.len());
    struct Run<const ADD: bool>(Left, Right, Sizes, Sum<ADD>);
    impl<const ADD: bool> Kernel for Run<ADD> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            // SAFETY: within `dispatch`; the operands hold what `multiply` has checked.
            unsafe { product::<V, Sum<ADD>>(self.0, self.1, self.2, self.3) }
        }
    }
    let (left, right) = (
        Left {
            data: a.data.as_ptr(),
            row: a.row,
            step: a.step,
        },
        Right {
            data: b.data.as_ptr(),
            step: b.stride,
        },
    );
    let to = Target {
        data: c.data.as_mut_ptr(),
        row: c.stride,
    };
    dispatch(isa, Run::<ADD>(left, right, sizes, Sum { to, ahead }));
}

/// Rows of up to four tensors that will be needed next: row r of them is fetched with row r of a
/// product, a few lines a micro-kernel, since many at once would hold up its loads.
#[derive(Clone, Copy)]
pub(crate) struct Ahead([Block<*const f32>; 4]);

/// No rows.
const NOWHERE: Block<*const f32> = Block {
    at: std::ptr::null(),
    stride: 0,
    rows: 0,
    width: 0,
};

impl Ahead {
    /// Nothing.
    pub(crate) const NONE: Self = Self([NOWHERE; 4]);

    /// `rows` rows of `width` floats, `stride` apart; any address will do.
    pub(crate) fn of(at: *const f32, stride: usize, rows: usize, width: usize) -> Self {
        let block = Block {
            at,
            stride,
            rows,
            width,
        };
        Self([block, NOWHERE, NOWHERE, NOWHERE])
    }

    /// The first tensor of another beside its own; what exceeds four is not fetched.
    pub(crate) fn and(self, other: Self) -> Self {
        let [a, b, c, _] = self.0;
        Self([other.0[0], a, b, c])
    }

    /// The rows from `first` on.
    pub(crate) fn from(self, first: usize) -> Self {
        Self(self.0.map(|block| Block {
            at: block.at.wrapping_add(first * block.stride),
            rows: block.rows.saturating_sub(first),
            ..block
        }))
    }
}

/// target = sum or target += sum, in whole vectors.
#[derive(Clone, Copy)]
struct Sum<const ADD: bool> {
    to: Target,
    ahead: Ahead,
}

impl<V: Vector, const ADD: bool> Finish<V> for Sum<ADD> {
    #[inline(always)]
    unsafe fn finish<const R: usize, const C: usize>(
        self,
        sums: [[V; C]; R],
        row: usize,
        column: usize,
    ) {
        if column == 0 {
            for ahead in self.ahead.0 {
                if row < ahead.rows {
                    prefetch_rows::<V>(Block {
                        at: ahead.at.wrapping_add(row * ahead.stride),
                        rows: R.min(ahead.rows - row),
                        ..ahead
                    });
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (c, sum) in sums.into_iter().enumerate() {
                // SAFETY: the trait's contract.
                unsafe {
                    let to = self.to.at(row + r, column + c * V::LANES);
                    let sum = if ADD { V::load(to).add(sum) } else { sum };
                    sum.store(to);
                }
            }
        }
    }
}
