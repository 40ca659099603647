//! Between rows of tokens and rows of lanes: what is packed before, and unpacked after, the tiles.

use super::vector::{Block, QUERIES, Vector};

/// Xᵀ `[width, QUERIES]` times `factor`, from X `[rows, width]`; lanes behind the last row are zero up
/// to a whole vector.
///
/// # Safety
/// V's instructions are enabled; `x` has the rows it says, at most [`QUERIES`], and `to` has
/// `x.width` rows of [`QUERIES`] floats.
#[inline(always)]
pub unsafe fn pack<V: Vector>(x: Block<*const f32>, factor: f32, to: *mut f32) {
    let mut lane = 0;
    while lane < x.rows {
        let mut c = 0;
        while c < x.width {
            let width = (x.width - c).min(V::LANES);
            // SAFETY: lane < rows and c < width keep both corners within what the caller gave.
            unsafe {
                let from = Block {
                    at: x.at.add(lane * x.stride + c),
                    stride: x.stride,
                    rows: (x.rows - lane).min(V::LANES),
                    width,
                };
                let to = Block {
                    at: to.add(c * QUERIES + lane),
                    stride: QUERIES,
                    rows: width,
                    width: V::LANES,
                };
                V::transpose(from, V::splat(factor), to);
            }
            c += width;
        }
        lane += V::LANES;
    }
}

/// X `[rows, width]` from Xᵀ `[width, QUERIES]`, row r times `factors[r]`.
///
/// # Safety
/// As for [`pack`], with [`QUERIES`] floats at `factors`.
#[inline(always)]
pub unsafe fn unpack<V: Vector>(from: *const f32, factors: *const f32, x: Block<*mut f32>) {
    let mut lane = 0;
    while lane < x.rows {
        let mut c = 0;
        while c < x.width {
            let width = (x.width - c).min(V::LANES);
            // SAFETY: lane < rows and c < width keep both corners within what the caller gave.
            unsafe {
                let from = Block {
                    at: from.add(c * QUERIES + lane),
                    stride: QUERIES,
                    rows: width,
                    width: V::LANES,
                };
                let to = Block {
                    at: x.at.add(lane * x.stride + c),
                    stride: x.stride,
                    rows: (x.rows - lane).min(V::LANES),
                    width,
                };
                V::transpose(from, V::load(factors.add(lane)), to);
            }
            c += width;
        }
        lane += V::LANES;
    }
}
