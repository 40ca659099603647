//! A vector of f32 lanes, and the exponential over it.

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
/// Degree six on [-½, ½], coefficients after Cephes `exp2f` (Moshier); relative error below 2e-7.
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
        let p = V::splat(1.535_336_2e-4).mul_add(r, V::splat(1.339_887_4e-3));
        let p = p.mul_add(r, V::splat(9.618_437e-3));
        let p = p.mul_add(r, V::splat(5.550_332_5e-2));
        let p = p.mul_add(r, V::splat(2.402_265e-1));
        let p = p.mul_add(r, V::splat(6.931_472e-1));
        let p = p.mul_add(r, V::splat(1.0));
        p.scale_by_power(n)
    }
}
