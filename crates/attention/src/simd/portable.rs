//! Eight lanes in plain Rust, which the compiler maps to what the target has.

use super::vector::{Block, Vector, exp2_of_fraction};

/// Eight floats.
#[derive(Clone, Copy)]
pub struct Lanes(pub(super) [f32; 8]);

impl Lanes {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|l| f(self.0[l], other.0[l])))
    }
}

impl Vector for Lanes {
    const LANES: usize = 8;
    const COLUMNS: usize = 1;
    const ACCUMULATORS: usize = 4;

    #[inline(always)]
    fn prefetch(_at: *const f32) {}
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has eight floats there; an array of f32 needs no more alignment.
        Self(unsafe { from.cast::<[f32; 8]>().read() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has eight floats there; an array of f32 needs no more alignment.
        unsafe { to.cast::<[f32; 8]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        // Two roundings: a fused one is a library call where the target has no such instruction.
        Self(std::array::from_fn(|l| self.0[l] * a.0[l] + b.0[l]))
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn exp2_by<const DEGREE: usize>(self) -> Self {
        // Adding 1.5·2^23 leaves the nearest integer; exact for the range of exponents.
        const ROUND: f32 = 12_582_912.0;
        let x = self.0.map(|x| if x < -127.0 { -127.0 } else { x });
        let n = x.map(|x| {
            let nearest = (x + ROUND) - ROUND;
            nearest - f32::from(u8::from(nearest > x))
        });
        let r = Self(std::array::from_fn(|l| x[l] - n[l]));
        // SAFETY: nothing beyond the base instructions is used.
        let p = unsafe { exp2_of_fraction::<_, DEGREE>(r) };
        // The biased exponent of 2^-127 is 0, which reads as the number 0; an infinity wraps, and p is NaN.
        Self(std::array::from_fn(|l| {
            p.0[l] * f32::from_bits(((n[l] as i32).wrapping_add(127) as u32) << 23)
        }))
    }
    #[inline(always)]
    unsafe fn any_greater(self, other: Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a > b)
    }
    #[inline(always)]
    unsafe fn zero_where_negative_infinite(self, test: Self) -> Self {
        self.zip(test, |x, t| if t == f32::NEG_INFINITY { 0.0 } else { x })
    }
    #[inline(always)]
    unsafe fn select_greater(self, bound: Self, a: Self, b: Self) -> Self {
        let greater = |l: usize| self.0[l] > bound.0[l];
        Self(std::array::from_fn(|l| {
            if greater(l) { a.0[l] } else { b.0[l] }
        }))
    }
    #[inline(always)]
    unsafe fn hide_outside(self, x: Self, low: Self, high: Self) -> Self {
        let kept = |l: usize| (low.0[l]..high.0[l]).contains(&x.0[l]);
        Self(std::array::from_fn(|l| {
            if kept(l) {
                self.0[l]
            } else {
                f32::NEG_INFINITY
            }
        }))
    }
    #[inline(always)]
    unsafe fn transpose(from: Block<*const f32>, factor: Self, to: Block<*mut f32>) {
        for r in 0..to.rows {
            for c in 0..to.width {
                let x = if c < from.rows {
                    // SAFETY: c < from.rows and r < to.rows <= from.width.
                    unsafe { *from.at.add(c * from.stride + r) * factor.0[r] }
                } else {
                    0.0
                };
                // SAFETY: r < to.rows and c < to.width.
                unsafe { to.at.add(r * to.stride + c).write(x) };
            }
        }
    }
}
