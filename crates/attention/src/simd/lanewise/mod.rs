//! Parts of vectors, sums across lanes, narrow elements.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

/// What kernels over rows need beside the arithmetic: parts of vectors, sums across lanes, narrow
/// elements.
///
/// # Safety
/// As for [`Vector`](super::Vector).
pub trait Lanewise: Copy {
    /// The first `n` floats, at most a vector; other lanes are 0.
    unsafe fn load_first(from: *const f32, n: usize) -> Self;
    /// A vector of bf16 as f32.
    unsafe fn load_bf16(from: *const u16) -> Self;
    /// A vector of bytes as f32.
    unsafe fn load_i8(from: *const i8) -> Self;
    /// The sum over the lanes of each of eight vectors, in their order.
    unsafe fn sums(vectors: [Self; 8]) -> [f32; 8];
    /// The largest lane; any of them where one is NaN.
    unsafe fn largest(self) -> f32;
}
