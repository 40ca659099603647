//! Working memory, cut into parts that begin on a cache line.

use attention::simd::matrix::padded;

/// Floats that parts of these sizes take together.
pub(crate) fn floats<const K: usize>(sizes: [usize; K]) -> usize {
    sizes.into_iter().map(padded).sum()
}

/// Parts of these sizes.
pub(crate) fn cut<const K: usize>(memory: &mut [f32], sizes: [usize; K]) -> [&mut [f32]; K] {
    let mut rest = memory;
    sizes.map(|size| {
        let (part, behind) = std::mem::take(&mut rest).split_at_mut(padded(size));
        rest = behind;
        &mut part[..size]
    })
}
