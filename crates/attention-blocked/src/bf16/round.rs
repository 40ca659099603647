//! Rounding to bf16: the upper half of an f32.

use crate::narrow::wide::Rounding;

/// The nearest bf16 (ties to even), as the f32 that it stands for; NaN stays NaN.
#[inline(always)]
pub(crate) fn round(x: f32) -> f32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
    // The carry would take the largest NaN to zero.
    f32::from_bits(if x.is_nan() {
        bits | 0x0040_0000
    } else {
        rounded
    })
}

/// Everything to bf16, without scales.
pub(crate) struct Bf16;

impl Rounding for Bf16 {
    const SCALED: bool = false;

    #[inline(always)]
    fn row(x: &[f32], _: &[f32], to: &mut [f32]) -> f32 {
        for (to, x) in to.iter_mut().zip(x) {
            *to = round(*x);
        }
        1.0
    }

    #[inline(always)]
    fn value(x: f32) -> f32 {
        round(x)
    }
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn rounding_is_to_nearest_and_ties_go_to_even() {
        let ulp = 1.0 / 128.0;
        assert_eq!(round(1.0 + 0.4 * ulp), 1.0);
        assert_eq!(round(1.0 + 0.5 * ulp), 1.0);
        assert_eq!(round(1.0 + 0.6 * ulp), 1.0 + ulp);
        assert_eq!(round(-(1.0 + 1.5 * ulp)), -(1.0 + 2.0 * ulp));
        assert_eq!(round(f32::MAX), f32::INFINITY);
        assert_eq!(round(f32::NEG_INFINITY), f32::NEG_INFINITY);
        for payload in [0x7fff_ffff, 0x7f80_0001, 0xffff_ffff] {
            assert!(round(f32::from_bits(payload)).is_nan());
        }
    }
}
