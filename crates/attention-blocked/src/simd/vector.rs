//! A vector of f32 lanes, and the exponential over it.

use attention::numeric::EXP2;

/// f32 lanes of one register.
///
/// # Safety
/// Every method may only run where the implementing type's instruction set is enabled; `dispatch`
/// sees to that. Loads and stores need `LANES` floats at the pointer, at any alignment.
pub(crate) trait Vector: Copy {
    /// Floats in a vector.
    const LANES: usize;
    /// Vectors of queries that a micro-kernel takes at once, so that its accumulators fill the
    /// registers and do not spill.
    const COLUMNS: usize;

    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// self·a + b.
    unsafe fn mul_add(self, a: Self, b: Self) -> Self;
    /// The larger; `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The nearest integer.
    unsafe fn round(self) -> Self;
    /// self·2^n for an integer-valued n from -127 to 0; n = -127 gives 0.
    unsafe fn scale_by_power(self, n: Self) -> Self;
    /// Whether any lane of self is greater than other's.
    unsafe fn any_greater(self, other: Self) -> bool;
    /// Lanes of self where `test` is -inf replaced by zero.
    unsafe fn zero_where_negative_infinite(self, test: Self) -> Self;
}

/// 2^x for x <= 0; below -127 it gives 0, and NaN stays NaN.
///
/// The polynomial is [`EXP2`]; relative error below 2e-7.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
pub(crate) unsafe fn exp2_nonpositive<V: Vector>(x: V) -> V {
    // SAFETY: arithmetic alone, and the caller runs where V's instructions are enabled.
    unsafe {
        let x = V::splat(-127.0).max(x);
        let n = x.round();
        let r = x.sub(n);
        let mut p = V::splat(EXP2[0]);
        for c in &EXP2[1..] {
            p = p.mul_add(r, V::splat(*c));
        }
        p.scale_by_power(n)
    }
}
