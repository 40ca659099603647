//! Copies, transposes and sums of rows.

use super::super::memory::padded;
use super::kernel;
use attention::simd::{self, Block, Isa, Target};

kernel! {
/// Xᵀ `[width, to.row]` times `factor` from X `[rows, width]`; columns behind the last row stay as they
/// were, but for those that a vector is filled up with, which are zero.
fn transpose<V>(x: Block<*const f32>, factor: f32, to: Target) {
    for row in (0..x.rows).step_by(V::LANES) {
        for c in (0..x.width).step_by(V::LANES) {
            let width = (x.width - c).min(V::LANES);
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
    }
}
}

kernel! {
/// A copy.
fn copy<V>(x: Block<*const f32>, to: Target) {
    simd::copy_rows::<V>(x, 1.0, to);
}
}

kernel! {
/// Fetches what will be needed next.
fn fetch<V>(x: Block<*const f32>) {
    simd::prefetch_rows::<V>(x);
}
}

kernel! {
/// Multiplies rows by factors.
fn scale_rows<V>(x: Target, rows: usize, width: usize, factors: *const f32) {
    for r in 0..rows {
        let factor = V::splat(*factors.add(r));
        for c in (0..width).step_by(V::LANES) {
            let at = x.at(r, c);
            V::load(at).mul(factor).store(at);
        }
    }
}
}

kernel! {
/// to += from, float by float.
fn add_all<V>(from: *const f32, to: *mut f32, floats: usize) {
    for i in (0..floats).step_by(V::LANES) {
        let to = to.add(i);
        V::load(from.add(i)).add(V::load(to)).store(to);
    }
}
}

kernel! {
/// Σ A∘B of each row.
fn dot_rows<V>(a: Block<*const f32>, b: Block<*const f32>, to: *mut f32) {
    simd::dot_rows::<V>(a, b, to);
}
}

/// The transpose of `rows` rows, columns behind them zero.
///
/// # Safety
/// `to` has `width` rows of as many floats as it says.
pub(crate) unsafe fn turn(
    isa: Isa,
    from: Target,
    rows: usize,
    width: usize,
    factor: f32,
    to: Target,
) {
    // SAFETY: the caller's.
    unsafe {
        std::slice::from_raw_parts_mut(to.data, width * to.row).fill(0.0);
        transpose(isa, block(from, rows, width), factor, to);
    }
}

/// Rows filled up to whole vectors, to read: X itself where its rows are so and lie end to end, which is
/// kind to the cache, else a copy. What fills them up is not written.
///
/// # Safety
/// X is there, and `to` has room for its rows, filled up.
pub(crate) unsafe fn whole(isa: Isa, x: Block<*const f32>, to: *mut f32) -> Target {
    if x.stride == x.width && x.width == padded(x.width) {
        return Target {
            data: x.at.cast_mut(),
            row: x.stride,
        };
    }
    let row = padded(x.width);
    let to = Target { data: to, row };
    // SAFETY: the caller's.
    unsafe { copy(isa, x, to) };
    to
}

/// Some rows of a block.
///
/// # Safety
/// They exist.
pub(crate) unsafe fn cut(x: Block<*const f32>, first: usize, rows: usize) -> Block<*const f32> {
    Block {
        // SAFETY: the caller's.
        at: unsafe { x.at.add(first * x.stride) },
        rows,
        ..x
    }
}

/// Rows that a kernel has written.
pub(crate) fn block(rows: Target, count: usize, width: usize) -> Block<*const f32> {
    Block {
        at: rows.data.cast_const(),
        stride: rows.row,
        rows: count,
        width,
    }
}
