//! A few rows K̂ and V̂ that stand for all keys and values of a history.

use super::kernels::{add_all, turn};
use super::memory::{Shelf, padded};
use super::pieces::Slot;
use attention::numeric::LOG2_E;
use attention::simd::{Isa, Target};

/// Sizes of summaries: the most rows that any has, and their widths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) m: usize,
    pub(crate) d: usize,
    pub(crate) dv: usize,
}

impl Sizes {
    /// Floats of a row with a column for each row of a summary.
    pub(crate) fn mp(self) -> usize {
        padded(self.m)
    }

    pub(crate) fn dp(self) -> usize {
        padded(self.d)
    }

    pub(crate) fn dvp(self) -> usize {
        padded(self.dv)
    }

    /// Floats of K̂ and V̂, or of their gradients.
    pub(crate) fn rows(self) -> usize {
        self.m * (self.dp() + self.dvp())
    }

    /// Floats of a summary that queries can be asked of.
    pub(crate) fn summary(self) -> usize {
        self.rows() + self.d * self.mp()
    }

    /// Floats of a summary that backward can work with.
    pub(crate) fn summary_back(self) -> usize {
        self.summary() + self.dv * self.mp()
    }
}

/// K̂ `[m, D]`, V̂ `[m, Dv]`, and their transposes.
#[derive(Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) at: *mut f32,
    pub(crate) sizes: Sizes,
    /// Rows of this one.
    pub(crate) m: usize,
}

// SAFETY: tasks that write to it have it to themselves.
unsafe impl Send for Summary {}
// SAFETY: as above.
unsafe impl Sync for Summary {}

impl Summary {
    /// K̂, rows filled up.
    pub(crate) fn keys(self) -> Target {
        Target {
            data: self.at,
            row: self.sizes.dp(),
        }
    }

    /// V̂, rows filled up.
    pub(crate) fn values(self) -> Target {
        Target {
            data: self.at.wrapping_add(self.sizes.m * self.sizes.dp()),
            row: self.sizes.dvp(),
        }
    }

    /// K̂ᵀ times scale / ln 2.
    pub(crate) fn keys_t(self) -> Target {
        Target {
            data: self.at.wrapping_add(self.sizes.rows()),
            row: self.sizes.mp(),
        }
    }

    /// V̂ᵀ, of those that backward can work with.
    pub(crate) fn values_t(self) -> Target {
        Target {
            data: self.at.wrapping_add(self.sizes.summary()),
            row: self.sizes.mp(),
        }
    }

    /// Writes the transposes.
    ///
    /// # Safety
    /// K̂ and V̂ are there, with room for their transposes.
    pub(crate) unsafe fn seal(self, isa: Isa, scale: f32, backward: bool) {
        let Sizes { d, dv, .. } = self.sizes;
        // SAFETY: sizes are those that the memory was asked for with.
        unsafe {
            turn(isa, self.keys(), self.m, d, scale * LOG2_E, self.keys_t());
            if backward {
                turn(isa, self.values(), self.m, dv, 1.0, self.values_t());
            }
        }
    }
}

/// Rows like K̂ and V̂ of a history and head in `total`, summed over its pieces in their order; the
/// former times `scale`.
///
/// # Safety
/// The pieces' sums are finished, and `total` is nobody else's.
pub(crate) unsafe fn sum_pieces(isa: Isa, partial: Shelf, slot: &Slot, total: Summary, scale: f32) {
    let sizes = total.sizes;
    // SAFETY: the caller's; sums and total have the same size.
    unsafe {
        std::slice::from_raw_parts_mut(total.at, sizes.rows()).fill(0.0);
        for piece in slot.pieces.clone() {
            add_all(isa, partial.part(piece), total.at, sizes.rows());
        }
        let keys = std::slice::from_raw_parts_mut(total.keys().data, sizes.m * sizes.dp());
        keys.iter_mut().for_each(|x| *x *= scale);
    }
}
