//! A bias on the scores, and its gradient.

use crate::simd::{Left, QUERIES, Right, Target, Vector, Write, product};
use attention::numeric::LOG2_E;
use attention::{Bias, HeadBias};
use ndarray::ArrayD;
use std::ops::Range;

/// Pᵀ = 2^(Sᵀ + bias - L) for a rectangle whose first pair is (i, j).
///
/// # Safety
/// As for [`product`], which gives Sᵀ; `shift` holds L for every lane.
#[inline(always)]
pub(super) unsafe fn weigh<V: Vector>(
    left: Left,
    right: Right,
    size: (usize, usize, usize),
    to: Target,
    shift: *const f32,
    (bias, (i, j)): (HeadBias<'_>, (usize, usize)),
) {
    let (keys, _, lanes) = size;
    // SAFETY: the caller's; a row of a tile has QUERIES floats, a multiple of the vector's width.
    unsafe {
        product::<V, _>(left, right, size, Write { to });
        let mut added = [0.0; QUERIES];
        for row in 0..keys {
            for (lane, added) in added[..lanes].iter_mut().enumerate() {
                *added = bias.at(i + lane, j + row) * LOG2_E;
            }
            for lane in (0..lanes).step_by(V::LANES) {
                let at = to.data.add(row * to.row + lane);
                let s = V::load(at).add(V::load(added.as_ptr().add(lane)));
                s.sub(V::load(shift.add(lane))).exp2().store(at);
            }
        }
    }
}

/// The gradient of a bias table, for several workers that write to it in turns.
pub(super) struct Table {
    data: *mut f32,
    /// Heads: 1, or as many as there are query heads.
    heads: usize,
    /// Floats of a head.
    floats: usize,
    form: Form,
}

enum Form {
    /// Rows of this many keys.
    Dense { keys: usize },
    /// Entry R + clip(j - i, -R, R).
    Relative,
}

// SAFETY: the pointer is to f32 that outlive the call; `add` and `finish` are called in turns.
unsafe impl Sync for Table {}

impl Table {
    /// The gradient's place for a bias, in the bias' shape and contiguous.
    pub(super) fn of(bias: &Bias<'_>, gradient: &mut ArrayD<f32>) -> Self {
        let heads = gradient.shape().first().copied().unwrap_or(1);
        Self {
            heads,
            floats: gradient.len() / heads.max(1),
            form: match bias {
                Bias::Dense(table) => Form::Dense {
                    keys: table.dim().2,
                },
                _ => Form::Relative,
            },
            data: gradient.as_mut_ptr(),
        }
    }

    /// Floats that a block of queries needs to itself.
    pub(super) fn own_floats(bias: Option<&Bias<'_>>) -> usize {
        match bias {
            Some(Bias::Relative(table)) => table.ncols(),
            _ => 0,
        }
    }

    /// Adds dSᵀ `[keys, QUERIES]` of the pairs `rows` x `keys`: to a dense table, or to the block's
    /// `own` copy of a relative one.
    ///
    /// # Safety
    /// It is the block's turn for these keys.
    pub(super) unsafe fn add(
        &self,
        head: usize,
        rows: &Range<usize>,
        keys: &Range<usize>,
        ds: &[f32],
        own: &mut [f32],
    ) {
        for (ds, j) in ds.chunks(QUERIES).zip(keys.clone()) {
            match self.form {
                // SAFETY: entry (head, i, j) of the table exists, and it is the caller's turn.
                Form::Dense { keys } => unsafe {
                    let column = self.head(head).add(rows.start * keys + j);
                    for (lane, x) in ds[..rows.len()].iter().enumerate() {
                        *column.add(lane * keys) += x;
                    }
                },
                Form::Relative => {
                    let radius = (own.len() / 2) as isize;
                    for (x, i) in ds.iter().zip(rows.clone()) {
                        let offset = (j as isize - i as isize).clamp(-radius, radius);
                        own[(radius + offset) as usize] += x;
                    }
                }
            }
        }
    }

    /// Adds the block's own copy.
    ///
    /// # Safety
    /// It is the block's turn, and all earlier ones are done.
    pub(super) unsafe fn finish(&self, head: usize, own: &[f32]) {
        for (n, x) in own.iter().enumerate() {
            // SAFETY: `own` is as long as the table of one head, and empty for a dense one.
            unsafe { *self.head(head).add(n) += x };
        }
    }

    /// # Safety
    /// The head exists.
    unsafe fn head(&self, head: usize) -> *mut f32 {
        let head = if self.heads == 1 { 0 } else { head };
        // SAFETY: within the table by the caller's promise.
        unsafe { self.data.add(head * self.floats) }
    }
}
