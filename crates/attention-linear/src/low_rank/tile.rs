//! What is done to small matrices between products.

use super::memory::padded;
use attention::simd::{Block, Finish, Target, Vector, copy_rows};

/// target = factor·sum, in the first `width` columns.
#[derive(Clone, Copy)]
pub(crate) struct Write {
    pub(crate) to: Target,
    pub(crate) width: usize,
    pub(crate) factor: f32,
}

impl<V: Vector> Finish<V> for Write {
    #[inline(always)]
    unsafe fn finish<const R: usize, const C: usize>(
        self,
        sums: [[V; C]; R],
        row: usize,
        column: usize,
    ) {
        for (r, sums) in sums.into_iter().enumerate() {
            // SAFETY: the trait's contract.
            unsafe { write_row(self.to, self.width, self.factor, sums, row + r, column) };
        }
    }
}

/// target = factor of the row · sum, in the first `width` columns.
#[derive(Clone, Copy)]
pub(crate) struct WriteRows {
    pub(crate) to: Target,
    pub(crate) width: usize,
    /// One for each row.
    pub(crate) factors: *const f32,
}

impl<V: Vector> Finish<V> for WriteRows {
    #[inline(always)]
    unsafe fn finish<const R: usize, const C: usize>(
        self,
        sums: [[V; C]; R],
        row: usize,
        column: usize,
    ) {
        for (r, sums) in sums.into_iter().enumerate() {
            // SAFETY: the trait's contract.
            unsafe {
                let factor = *self.factors.add(row + r);
                write_row(self.to, self.width, factor, sums, row + r, column);
            }
        }
    }
}

/// # Safety
/// As for [`Finish`].
#[inline(always)]
unsafe fn write_row<V: Vector, const C: usize>(
    to: Target,
    width: usize,
    factor: f32,
    sums: [V; C],
    row: usize,
    column: usize,
) {
    for (c, sum) in sums.into_iter().enumerate() {
        let column = column + c * V::LANES;
        // SAFETY: the caller's; no column from `width` on is touched.
        unsafe {
            let sum = sum.mul(V::splat(factor));
            if column + V::LANES <= width {
                sum.store(to.at(row, column));
            } else {
                let mut lanes = [0.0; 16];
                sum.store(lanes.as_mut_ptr());
                for (n, x) in lanes[..width.saturating_sub(column).min(V::LANES)]
                    .iter()
                    .enumerate()
                {
                    *to.at(row, column + n) = *x;
                }
            }
        }
    }
}

/// Xᵀ `[width, to.row]` times `factor` from X `[rows, width]`; columns behind the last row stay as they
/// were, but for those that a vector is filled up with, which are zero.
///
/// # Safety
/// V's instructions are enabled; the target has `x.width` rows of `x.rows` floats, filled up.
#[inline(always)]
pub(crate) unsafe fn transpose<V: Vector>(x: Block<*const f32>, factor: f32, to: Target) {
    let mut row = 0;
    while row < x.rows {
        let mut c = 0;
        while c < x.width {
            let width = (x.width - c).min(V::LANES);
            // SAFETY: both corners stay within what the caller gave.
            unsafe {
                let from = Block {
                    at: x.at.add(row * x.stride + c),
                    stride: x.stride,
                    rows: (x.rows - row).min(V::LANES),
                    width,
                };
                let to = Block {
                    at: to.at(c, row),
                    stride: to.row,
                    rows: width,
                    width: V::LANES,
                };
                V::transpose(from, V::splat(factor), to);
            }
            c += width;
        }
        row += V::LANES;
    }
}

/// A copy whose rows are filled up to whole vectors; gives where its rows begin and how far they are
/// apart. What fills them up is not written.
///
/// # Safety
/// V's instructions are enabled; X is there, and `to` has room for its rows, filled up.
#[inline(always)]
pub(crate) unsafe fn copied<V: Vector>(x: Block<*const f32>, to: *mut f32) -> Block<*const f32> {
    let row = padded(x.width);
    // SAFETY: the caller's.
    unsafe { copy_rows::<V>(x, 1.0, Target { data: to, row }) };
    Block {
        at: to,
        stride: row,
        ..x
    }
}

/// Softmax of each row, scores being in units of log 2, without the division: rows become exponentials
/// of the distance to their maximum, and `factors` one over their sums. Columns from `width` on become
/// zero.
///
/// # Safety
/// V's instructions are enabled; there are `rows` rows of `width` floats, filled up to whole vectors,
/// and as many factors.
#[inline(always)]
pub(crate) unsafe fn soften<V: Vector>(x: Target, rows: usize, width: usize, factors: *mut f32) {
    let vectors = width.div_ceil(V::LANES);
    // SAFETY: rows and vectors stay within what the caller gave.
    unsafe {
        if !width.is_multiple_of(V::LANES) {
            let lanes: [f32; 16] = std::array::from_fn(|lane| lane as f32);
            let lanes = V::load(lanes.as_ptr());
            let (low, high) = (V::splat(0.0), V::splat((width % V::LANES) as f32));
            for r in 0..rows {
                let last = x.at(r, (vectors - 1) * V::LANES);
                V::load(last).hide_outside(lanes, low, high).store(last);
            }
        }
        let mut r = 0;
        while r < rows {
            let count = (rows - r).min(8);
            let mut sums = [V::splat(0.0); 8];
            for (n, sum) in sums.iter_mut().enumerate().take(count) {
                let row = x.at(r + n, 0);
                let mut top = V::load(row);
                for v in 1..vectors {
                    top = V::load(row.add(v * V::LANES)).max(top);
                }
                let top = V::splat(top.largest());
                for v in 0..vectors {
                    let at = row.add(v * V::LANES);
                    let e = V::load(at).sub(top).exp2();
                    e.store(at);
                    *sum = sum.add(e);
                }
            }
            for (n, sum) in V::sums(sums).iter().enumerate().take(count) {
                *factors.add(r + n) = 1.0 / sum;
            }
            r += count;
        }
    }
}

/// Multiplies rows by factors.
///
/// # Safety
/// As for [`soften`].
#[inline(always)]
pub(crate) unsafe fn scale_rows<V: Vector>(
    x: Target,
    rows: usize,
    width: usize,
    factors: *const f32,
) {
    // SAFETY: rows and vectors stay within what the caller gave.
    unsafe {
        for r in 0..rows {
            let factor = V::splat(*factors.add(r));
            let mut c = 0;
            while c < width {
                let at = x.at(r, c);
                V::load(at).mul(factor).store(at);
                c += V::LANES;
            }
        }
    }
}

/// The gradient of a softmax over each row: G becomes P∘(G - Σ P∘G).
///
/// # Safety
/// As for [`soften`]; P is zero from `width` on, and G finite there.
#[inline(always)]
pub(crate) unsafe fn soften_back<V: Vector>(p: Target, g: Target, rows: usize, width: usize) {
    let vectors = width.div_ceil(V::LANES);
    // SAFETY: rows and vectors stay within what the caller gave.
    unsafe {
        let mut r = 0;
        while r < rows {
            let count = (rows - r).min(8);
            let mut sums = [V::splat(0.0); 8];
            for (n, sum) in sums.iter_mut().enumerate().take(count) {
                for v in 0..vectors {
                    let (p, g) = (p.at(r + n, v * V::LANES), g.at(r + n, v * V::LANES));
                    *sum = V::load(p).mul_add(V::load(g), *sum);
                }
            }
            for (n, sum) in V::sums(sums).iter().enumerate().take(count) {
                let sum = V::splat(*sum);
                for v in 0..vectors {
                    let (p, g) = (p.at(r + n, v * V::LANES), g.at(r + n, v * V::LANES));
                    V::load(g).sub(sum).mul(V::load(p)).store(g);
                }
            }
            r += count;
        }
    }
}

/// to += from, float by float.
///
/// # Safety
/// Both have so many floats, filled up to whole vectors.
#[inline(always)]
pub(crate) unsafe fn add_all<V: Vector>(from: *const f32, to: *mut f32, floats: usize) {
    let mut i = 0;
    while i < floats {
        // SAFETY: the caller's.
        unsafe {
            V::load(from.add(i))
                .add(V::load(to.add(i)))
                .store(to.add(i))
        };
        i += V::LANES;
    }
}
