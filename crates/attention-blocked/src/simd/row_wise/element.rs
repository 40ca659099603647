//! What a row of keys or values may be made of; all arithmetic is in f32.

use crate::simd::Vector;
use attention::numeric::all_finite;
use ndarray::{ArrayView1, ArrayView2, CowArray, Ix2};

/// A number of a cached row.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// Elements to which the start of each row must be rounded up, since rows are read in whole
    /// vectors; 1 where the kernel reads no further than the row.
    const PADDING: usize;

    /// A vector of elements.
    ///
    /// # Safety
    /// As for [`Vector`]; the elements are there.
    unsafe fn load<V: Vector>(from: *const Self) -> V;

    /// The last `n` elements of a row; other lanes are 0.
    ///
    /// # Safety
    /// As for [`Vector`]; `n` elements are there, and the row's padding.
    unsafe fn load_last<V: Vector>(from: *const Self, n: usize) -> V;

    /// Queries of a history up to which splitting its keys is faster than tiles of queries, which for
    /// elements other than f32 means to widen every row first.
    ///
    /// Measured at 200 to 32768 keys: at D = 64 up to 11 queries, at D = 32 up to 8.
    const FEW: usize;

    /// Whether rows have a factor each.
    const SCALED: bool;

    /// Whether every entry is finite.
    fn finite(rows: ArrayView2<'_, Self>) -> bool;

    /// Rounds a row, and gives the factor by which its elements are to be multiplied.
    fn round(row: ArrayView1<'_, f32>, to: &mut [Self]) -> f32;

    /// Rows as f32, each multiplied by its factor where there are factors.
    fn wide<'a>(rows: ArrayView2<'a, Self>, scales: &[f32]) -> CowArray<'a, f32, Ix2>;
}

impl Element for f32 {
    const PADDING: usize = 1;
    const FEW: usize = 8;

    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: the caller's.
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn load_last<V: Vector>(from: *const Self, n: usize) -> V {
        // SAFETY: the caller's.
        unsafe { V::load_first(from, n) }
    }
    const SCALED: bool = false;
    fn finite(rows: ArrayView2<'_, Self>) -> bool {
        all_finite(rows)
    }
    fn round(row: ArrayView1<'_, f32>, to: &mut [Self]) -> f32 {
        match row.as_slice() {
            Some(row) => to.copy_from_slice(row),
            None => to.iter_mut().zip(row).for_each(|(to, x)| *to = *x),
        }
        1.0
    }
    fn wide<'a>(rows: ArrayView2<'a, Self>, _: &[f32]) -> CowArray<'a, f32, Ix2> {
        rows.into()
    }
}

/// The upper half of an f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

impl Bf16 {
    /// Rounds to nearest, ties to even; NaN stays NaN.
    #[inline(always)]
    pub(crate) fn round(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        // Rounding could carry a NaN's payload into the sign: keep it quiet instead.
        let bits = if x.is_nan() {
            bits | 0x40_0000
        } else {
            rounded
        };
        Self((bits >> 16) as u16)
    }

    /// The same number.
    #[inline(always)]
    pub(crate) fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

impl Element for Bf16 {
    const PADDING: usize = 16;
    const FEW: usize = 64;

    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: the caller's; a Bf16 is a u16.
        unsafe { V::load_bf16(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_last<V: Vector>(from: *const Self, _: usize) -> V {
        // SAFETY: the row's padding is there, and zero.
        unsafe { V::load_bf16(from.cast()) }
    }
    const SCALED: bool = false;
    fn finite(rows: ArrayView2<'_, Self>) -> bool {
        rows.iter().all(|x| x.0 & 0x7f80 != 0x7f80)
    }
    fn round(row: ArrayView1<'_, f32>, to: &mut [Self]) -> f32 {
        to.iter_mut()
            .zip(row)
            .for_each(|(to, x)| *to = Self::round(*x));
        1.0
    }
    fn wide<'a>(rows: ArrayView2<'a, Self>, _: &[f32]) -> CowArray<'a, f32, Ix2> {
        rows.mapv(Self::to_f32).into()
    }
}

impl Element for i8 {
    const PADDING: usize = 16;
    const FEW: usize = 64;

    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: the caller's.
        unsafe { V::load_i8(from) }
    }
    #[inline(always)]
    unsafe fn load_last<V: Vector>(from: *const Self, _: usize) -> V {
        // SAFETY: the row's padding is there, and zero.
        unsafe { V::load_i8(from) }
    }
    const SCALED: bool = true;
    fn finite(_: ArrayView2<'_, Self>) -> bool {
        true
    }
    /// The factor is the largest entry / 127; NaN where an entry is not finite.
    fn round(row: ArrayView1<'_, f32>, to: &mut [Self]) -> f32 {
        let largest = row.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        if row.iter().any(|x| !x.is_finite()) {
            return f32::NAN;
        }
        // What is left is below any f32 that a score could tell from 0.
        if largest < 1e-35 {
            return 0.0;
        }
        let inverse = 127.0 / largest;
        for (to, x) in to.iter_mut().zip(row) {
            *to = (x * inverse).round_ties_even() as Self;
        }
        largest / 127.0
    }
    fn wide<'a>(rows: ArrayView2<'a, Self>, scales: &[f32]) -> CowArray<'a, f32, Ix2> {
        let mut wide = rows.mapv(f32::from);
        for (mut row, scale) in wide.outer_iter_mut().zip(scales) {
            row *= *scale;
        }
        wide.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_to_nearest_with_ties_to_even() {
        let cases = [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0),
            (1.0 + 1.01 / 256.0, 1.0 + 2.0 / 256.0),
            (-3.39e38, -3.389_531_4e38),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (-0.0, -0.0),
        ];
        for (x, expected) in cases {
            assert_eq!(
                Bf16::round(x).to_f32().to_bits(),
                f32::to_bits(expected),
                "{x}"
            );
        }
        for bits in [0x7f80_0001, 0x7fff_ffff, 0xffff_ffff] {
            assert!(Bf16::round(f32::from_bits(bits)).to_f32().is_nan());
        }
    }
}
