//! Rows of floats, read in whole vectors.

use super::panel::Target;
use super::vector::{Block, Vector};

/// The widest vector.
pub(super) const MOST_LANES: usize = 16;

/// target = factor·X; gives whether all of X is finite.
///
/// # Safety
/// V's instructions are enabled; X and the target hold `x.rows` rows of `x.width` floats.
#[inline(always)]
pub unsafe fn copy_rows<V: Vector>(x: Block<*const f32>, factor: f32, to: Target) -> bool {
    // SAFETY: rows and columns stay within what the caller gave.
    unsafe {
        let (zero, factors) = (V::splat(0.0), V::splat(factor));
        let (mut sum, mut rest) = (zero, 0.0);
        for r in 0..x.rows {
            let (from, to) = (x.at.add(r * x.stride), to.data.add(r * to.row));
            let mut c = 0;
            while c + V::LANES <= x.width {
                let v = V::load(from.add(c));
                v.mul(factors).store(to.add(c));
                // Zero times what is not finite is NaN.
                sum = v.mul_add(zero, sum);
                c += V::LANES;
            }
            for c in c..x.width {
                *to.add(c) = *from.add(c) * factor;
                rest += *from.add(c) * 0.0;
            }
        }
        total(sum) + rest == 0.0
    }
}

/// Whether all of X is finite.
///
/// # Safety
/// V's instructions are enabled; X holds `x.rows` rows of `x.width` floats.
#[inline(always)]
pub unsafe fn are_finite<V: Vector>(x: Block<*const f32>) -> bool {
    // SAFETY: rows and columns stay within what the caller gave.
    unsafe {
        let zero = V::splat(0.0);
        let (mut sum, mut rest) = (zero, 0.0);
        for r in 0..x.rows {
            let from = x.at.add(r * x.stride);
            let mut c = 0;
            while c + V::LANES <= x.width {
                sum = V::load(from.add(c)).mul_add(zero, sum);
                c += V::LANES;
            }
            for c in c..x.width {
                rest += *from.add(c) * 0.0;
            }
        }
        total(sum) + rest == 0.0
    }
}

/// Σ A∘B of each row.
///
/// # Safety
/// V's instructions are enabled; A and B hold `a.rows` rows of `a.width` floats, and `to` as many
/// floats as there are rows.
#[inline(always)]
pub unsafe fn dot_rows<V: Vector>(a: Block<*const f32>, b: Block<*const f32>, to: *mut f32) {
    // SAFETY: rows and columns stay within what the caller gave.
    unsafe {
        for r in 0..a.rows {
            let (x, y) = (a.at.add(r * a.stride), b.at.add(r * b.stride));
            let (mut sum, mut rest) = (V::splat(0.0), 0.0);
            let mut c = 0;
            while c + V::LANES <= a.width {
                sum = V::load(x.add(c)).mul_add(V::load(y.add(c)), sum);
                c += V::LANES;
            }
            for c in c..a.width {
                rest += *x.add(c) * *y.add(c);
            }
            *to.add(r) = total(sum) + rest;
        }
    }
}

/// The sum of all lanes, by halves.
///
/// # Safety
/// V's instructions are enabled.
#[inline(always)]
unsafe fn total<V: Vector>(vector: V) -> f32 {
    let mut lanes = [0.0; MOST_LANES];
    // SAFETY: no vector is wider.
    unsafe { vector.store(lanes.as_mut_ptr()) };
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}
