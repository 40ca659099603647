//! What becomes of the sums of scores and of dP before they are written.

use crate::simd::{Drop, Finish, Target, Vector};

/// target = 2^(sum - shift), the shift one a column; or the sum alone, where something has to be added
/// to it first.
#[derive(Clone, Copy)]
pub(crate) struct Exponentiate {
    pub(crate) to: Target,
    pub(crate) shift: *const f32,
    /// Whether the sum is left as it is.
    pub(crate) later: bool,
}

impl<V: Vector> Finish<V> for Exponentiate {
    #[inline(always)]
    unsafe fn finish<const R: usize, const C: usize>(
        self,
        sums: [[V; C]; R],
        row: usize,
        column: usize,
    ) {
        // One test for all sums of the micro-kernel.
        let later = self.later;
        for (r, sums) in sums.into_iter().enumerate() {
            for (c, sum) in sums.into_iter().enumerate() {
                // SAFETY: the trait's contract.
                unsafe {
                    let column = column + c * V::LANES;
                    let to = self.to.at(row + r, column);
                    if later {
                        sum.store(to);
                    } else {
                        let x = sum.sub(V::load(self.shift.add(column)));
                        x.exp2().store(to);
                    }
                }
            }
        }
    }
}

/// target = factor∘(sum - shift), the shift one a column, the factors laid out as the target; with
/// dropout's multipliers M, target = factor∘(M∘sum - shift) and then factor = M∘factor.
#[derive(Clone, Copy)]
pub(crate) struct Weigh {
    pub(crate) to: Target,
    pub(crate) factor: *mut f32,
    pub(crate) shift: *const f32,
    pub(crate) drop: Option<Drop>,
    /// The key of row 0 and the lane of column 0.
    pub(crate) corner: (usize, usize),
}

impl<V: Vector> Finish<V> for Weigh {
    #[inline(always)]
    unsafe fn finish<const R: usize, const C: usize>(
        self,
        mut sums: [[V; C]; R],
        row: usize,
        column: usize,
    ) {
        if let Some(drop) = &self.drop {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (c, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the trait's contract.
                    unsafe {
                        let column = column + c * V::LANES;
                        let (key, lane) = (self.corner.0 + row + r, self.corner.1 + column);
                        *sum = sum.mul(V::multiplier(drop, key, lane));
                    }
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (c, sum) in sums.into_iter().enumerate() {
                // SAFETY: the trait's contract.
                unsafe {
                    let column = column + c * V::LANES;
                    let factor = V::load(self.factor.add((row + r) * self.to.row + column));
                    let x = sum.sub(V::load(self.shift.add(column)));
                    x.mul(factor).store(self.to.at(row + r, column));
                }
            }
        }
        if let Some(drop) = &self.drop {
            for r in 0..R {
                for c in 0..C {
                    // SAFETY: the trait's contract.
                    unsafe {
                        let column = column + c * V::LANES;
                        let (key, lane) = (self.corner.0 + row + r, self.corner.1 + column);
                        let at = self.factor.add((row + r) * self.to.row + column);
                        V::load(at).mul(V::multiplier(drop, key, lane)).store(at);
                    }
                }
            }
        }
    }
}
