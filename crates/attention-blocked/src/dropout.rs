//! Dropout in a tile of weights: after the sum, which is that of the weights before it, and before the
//! values.

use crate::simd::{Drop, QUERIES, Vector};
use crate::tile::{Lanes, Tiles};
use std::ops::Range;

impl Tiles<'_> {
    /// Pᵀ becomes M∘Pᵀ, M being 0 or 1/(1 - rate).
    ///
    /// # Safety
    /// V's instructions are enabled; the tile holds the weights of `keys`.
    #[inline(always)]
    pub(crate) unsafe fn drop_weights<V: Vector>(
        &mut self,
        drop: &Drop,
        keys: Range<usize>,
        lanes: Lanes,
    ) {
        for (row, j) in keys.enumerate() {
            for v in 0..lanes.vectors {
                let lane = lanes.first + v * V::LANES;
                // SAFETY: every row of the tile has QUERIES floats, a multiple of the vector's width.
                unsafe {
                    let at = self.st.as_mut_ptr().add(row * QUERIES + lane);
                    let m = V::multiplier(drop, j, lane);
                    V::load(at).mul(m).store(at);
                }
            }
        }
    }
}
