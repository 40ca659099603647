//! What a call costs, before it is made.

use crate::geometry::Geometry;

/// Predicted cost of one forward call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts two, an exponential one.
    pub flops: u64,
    /// Bytes that must cross the memory bus at least once: inputs, output and what is materialised.
    pub bytes: u64,
    /// Working memory beside inputs and output.
    pub scratch_bytes: u64,
}

impl Cost {
    /// Cost of scoring `pairs` (query, key) pairs and summing their values, exactly.
    ///
    /// 2·D for the score, 2·Dv for the value, 4 for scale, maximum, exponential and sum.
    #[must_use]
    pub fn of_pairs(geometry: &Geometry, pairs: u64, scratch_bytes: u64) -> Self {
        let s = geometry.shape();
        Self {
            flops: pairs * (2 * s.d + 2 * s.dv + 4) as u64,
            bytes: s.tensor_bytes(),
            scratch_bytes,
        }
    }
}
