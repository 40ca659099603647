//! Products, and what becomes of their sums.

use super::kernel;
use attention::simd::{self, Add, Block, Finish, Left, Right, Target, Vector};

/// Where sums go: the first `width` columns of the target.
#[derive(Clone, Copy)]
pub(crate) struct Ending {
    to: Target,
    width: usize,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    /// target = factor·sum.
    Write(f32),
    /// target = factor of the row · sum.
    WriteRows(*const f32),
    /// target += sum.
    Add,
}

impl Ending {
    /// target = factor·sum.
    pub(crate) fn write(to: Target, width: usize, factor: f32) -> Self {
        let how = How::Write(factor);
        Self { to, width, how }
    }

    /// target = factor of the row · sum, with a factor for each row.
    pub(crate) fn write_rows(to: Target, width: usize, factors: *const f32) -> Self {
        let how = How::WriteRows(factors);
        Self { to, width, how }
    }

    /// target += sum.
    pub(crate) fn add(to: Target, width: usize) -> Self {
        let how = How::Add;
        Self { to, width, how }
    }
}

/// An ending in a product of so many rows.
#[derive(Clone, Copy)]
struct End {
    ending: Ending,
    rows: usize,
}

impl<V: Vector> Finish<V> for End {
    #[inline(always)]
    unsafe fn finish<const R: usize, const C: usize>(
        self,
        mut sums: [[V; C]; R],
        row: usize,
        column: usize,
    ) {
        let Ending { to, width, how } = self.ending;
        // SAFETY: the trait's contract; no column from `width` on is touched.
        unsafe {
            if let How::Add = how {
                let rows = self.rows;
                return Add { to, rows, width }.finish(sums, row, column);
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = V::splat(match how {
                    How::WriteRows(factors) => *factors.add(row + r),
                    How::Write(factor) => factor,
                    How::Add => 1.0,
                });
                sums.iter_mut().for_each(|sum| *sum = sum.mul(factor));
            }
            if column + C * V::LANES <= width {
                for (r, sums) in sums.into_iter().enumerate() {
                    for (c, sum) in sums.into_iter().enumerate() {
                        sum.store(to.at(row + r, column + c * V::LANES));
                    }
                }
                return;
            }
            let mut lanes = [[0.0; 4 * 16]; R];
            for (lanes, sums) in lanes.iter_mut().zip(sums) {
                for (c, sum) in sums.into_iter().enumerate() {
                    sum.store(lanes.as_mut_ptr().add(c * V::LANES));
                }
            }
            let width = width.saturating_sub(column);
            for (r, lanes) in lanes.iter().enumerate() {
                let to = to.at(row + r, column);
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, width);
            }
        }
    }

    #[inline(always)]
    fn expect<const R: usize, const C: usize>(self, row: usize, column: usize) {
        if let (How::Add, rows) = (self.ending.how, self.rows) {
            let Ending { to, width, .. } = self.ending;
            Finish::<V>::expect::<R, C>(Add { to, rows, width }, row, column);
        }
    }
}

kernel! {
/// Left·right for (rows, steps, columns): see [`simd::product`].
fn product<V>(left: Left, right: Right, sizes: (usize, usize, usize), ending: Ending) {
    let rows = sizes.0;
    simd::product::<V, _>(left, right, sizes, End { ending, rows });
}
}

/// Rows as the operand that is read float by float.
pub(crate) fn left(rows: Target) -> Left {
    Left {
        data: rows.data.cast_const(),
        row: rows.row,
        step: 1,
    }
}

/// The transpose of rows as the operand that is read float by float.
pub(crate) fn left_turned(rows: Target) -> Left {
    Left {
        data: rows.data.cast_const(),
        row: 1,
        step: rows.row,
    }
}

/// Tokens as the operand that is read float by float.
pub(crate) fn tokens(x: Block<*const f32>) -> Left {
    Left {
        data: x.at,
        row: x.stride,
        step: 1,
    }
}

/// Rows as the operand that is read in vectors.
pub(crate) fn right(rows: Target) -> Right {
    Right {
        data: rows.data.cast_const(),
        step: rows.row,
    }
}
