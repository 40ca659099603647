//! A vector of f32 lanes, and the exponential over it.

use super::draw::Draw;
use super::lanewise::Lanewise;
use crate::numeric;

/// Queries in a block, and floats between the rows of every transposed tile.
pub const QUERIES: usize = 64;

/// 2^r on [0, 1) as polynomials of degree 3, 4 and 5, highest power first: minimax fits of the relative
/// error with the last coefficient fixed at 1, rounded to f32. Relative errors below 8.6e-5, 3e-6 and
/// 1.5e-7 as evaluated.
///
/// A remainder counted from the integer below, not from the nearest, costs no accuracy and lets
/// AVX-512 take it in one instruction.
#[allow(clippy::approx_constant)] // fitted coefficients, not ln 2
const EXP2: [&[f32]; 3] = [
    &[7.706_704e-2, 2.276_45e-1, 6.951_168e-1, 1.0],
    &[
        1.342_668_5e-2,
        5.224_247_3e-2,
        2.412_802e-1,
        6.930_448_4e-1,
        1.0,
    ],
    &[
        1.867_130_3e-3,
        9.017_032e-3,
        5.579_991_6e-2,
        2.401_644_6e-1,
        6.931_513e-1,
        1.0,
    ],
];

/// f32 lanes of one register.
///
/// # Safety
/// Every method may only run where the implementing type's instruction set is enabled; `dispatch`
/// sees to that. Loads and stores need `LANES` floats at the pointer, at any alignment.
pub trait Vector: Draw + Lanewise {
    /// Floats in a vector.
    const LANES: usize;
    /// Vectors of queries that a micro-kernel takes at once.
    const COLUMNS: usize;
    /// Registers for its sums, so that they hide the latency of a multiply-add and do not spill.
    const ACCUMULATORS: usize;

    /// Brings the cache line of an address nearer, where the instruction set can; any address will do.
    fn prefetch(at: *const f32);
    /// The same float in all lanes.
    unsafe fn splat(x: f32) -> Self;
    /// LANES floats.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes LANES floats.
    unsafe fn store(self, to: *mut f32);
    /// Sum, lane by lane.
    unsafe fn add(self, other: Self) -> Self;
    /// Difference, lane by lane.
    unsafe fn sub(self, other: Self) -> Self;
    /// Product, lane by lane.
    unsafe fn mul(self, other: Self) -> Self;
    /// Quotient, lane by lane.
    unsafe fn div(self, other: Self) -> Self;
    /// self·a + b.
    unsafe fn mul_add(self, a: Self, b: Self) -> Self;
    /// The larger; `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// 2^self for self <= 126: 0 far below -126, NaN for NaN; by a polynomial of degree 3, 4 or 5, with a
    /// relative error below 9e-5, 3e-6 or 2e-7.
    unsafe fn exp2_by<const DEGREE: usize>(self) -> Self;
    /// [`exp2_by`](Self::exp2_by) degree 5: as good as f32 gets.
    #[inline(always)]
    unsafe fn exp2(self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.exp2_by::<5>() }
    }
    /// 2^self for self <= 0, with a relative error that vanishes with self: for factors near 1 that are
    /// multiplied up many times.
    #[inline(always)]
    unsafe fn exp2_factor(self) -> Self {
        // Adding 1.5·2^23 leaves the nearest integer.
        const ROUND: f32 = 12_582_912.0;
        // SAFETY: the caller's. Powers of whole numbers are exact by any polynomial.
        unsafe {
            let x = Self::splat(-127.0).max(self);
            let n = x.add(Self::splat(ROUND)).sub(Self::splat(ROUND));
            exp2_near_zero(x.sub(n)).mul(n.exp2_by::<3>())
        }
    }
    /// Whether any lane of self is greater than other's.
    unsafe fn any_greater(self, other: Self) -> bool;
    /// Lanes of `a` where self is greater than `bound`, of `b` elsewhere.
    unsafe fn select_greater(self, bound: Self, a: Self, b: Self) -> Self;
    /// Lanes of self where `test` is -inf replaced by zero.
    unsafe fn zero_where_negative_infinite(self, test: Self) -> Self;
    /// Lanes of self kept where low <= x < high, -inf elsewhere.
    unsafe fn hide_outside(self, x: Self, low: Self, high: Self) -> Self;
    /// Writes the transpose of `factor`·A, A being at most LANES x LANES.
    ///
    /// A has `from.rows` rows of `from.width` floats; `to.rows` rows (at most `from.width`) of
    /// `to.width` floats are written, those behind `from.rows` zero. Lane c of `factor` belongs to
    /// column c of A.
    unsafe fn transpose(from: Block<*const f32>, factor: Self, to: Block<*mut f32>);
}

/// A small matrix in memory: `rows` rows of `width` floats, `stride` floats apart.
#[derive(Clone, Copy)]
pub struct Block<P> {
    /// Where its first float lies.
    pub at: P,
    /// Floats from one row to the next.
    pub stride: usize,
    /// Rows.
    pub rows: usize,
    /// Floats a row.
    pub width: usize,
}

/// The polynomial of [`Vector::exp2_by`], for r in [0, 1].
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
pub(super) unsafe fn exp2_of_fraction<V: Vector, const DEGREE: usize>(r: V) -> V {
    // SAFETY: arithmetic alone, and the caller runs where V's instructions are enabled.
    unsafe {
        let coefficients = const { EXP2[DEGREE - 3] };
        let mut p = V::splat(coefficients[0]);
        for c in &coefficients[1..] {
            p = p.mul_add(r, V::splat(*c));
        }
        p
    }
}

/// The polynomial of [`Vector::exp2_factor`], for r in [-½, ½].
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
pub(super) unsafe fn exp2_near_zero<V: Vector>(r: V) -> V {
    // SAFETY: arithmetic alone, and the caller runs where V's instructions are enabled.
    unsafe {
        let mut p = V::splat(numeric::EXP2[0]);
        for c in &numeric::EXP2[1..] {
            p = p.mul_add(r, V::splat(*c));
        }
        p
    }
}

/// Prefetches `rows` rows of `width` floats, `stride` apart.
#[inline(always)]
pub fn prefetch_rows<V: Vector>(rows: Block<*const f32>) {
    for r in 0..rows.rows {
        let mut c = 0;
        while c < rows.width {
            V::prefetch(rows.at.wrapping_add(r * rows.stride + c));
            c += 16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, dispatch};

    struct Powers<'a>(&'a mut [f32; 16]);

    impl Kernel for Powers<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            for part in self.0.chunks_exact_mut(V::LANES) {
                // SAFETY: inside dispatch, and the part holds a vector.
                unsafe { V::load(part.as_ptr()).exp2().store(part.as_mut_ptr()) }
            }
        }
    }

    #[test]
    fn powers_of_two_are_never_subnormal() {
        let x: [f32; 16] = std::array::from_fn(|n| match n {
            0 => f32::NEG_INFINITY,
            1 => f32::NAN,
            n => 2.0 - 9.7 * (n - 2) as f32 - 0.3 * (n * n) as f32,
        });
        assert!(x.iter().any(|x| (-149.0..-126.0).contains(x)));
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let mut y = x;
            dispatch(isa, Powers(&mut y));
            for (x, y) in x.into_iter().zip(y) {
                let exact = f64::from(x).exp2();
                if x.is_nan() {
                    assert!(y.is_nan(), "{isa:?}");
                } else if x < -126.0 {
                    assert_eq!(y, 0.0, "{isa:?}: 2^{x}");
                } else {
                    let error = (f64::from(y) / exact - 1.0).abs();
                    assert!(error < 3e-7, "{isa:?}: 2^{x} = {y}");
                }
            }
        }
    }
}
