//! exp and expm1 in f32, free of branches so that loops over them vectorise.
//!
//! Range reduction x = n·ln 2 + r and the polynomial of Cephes' expf; within 2 ulp of the truth for
//! normal results. Below e^-87 the answer is 0.

/// Adding and subtracting 1.5·2²³ rounds to the nearest whole number, which then lies in the low
/// bits of the sum.
const ROUND: f32 = 12_582_912.0;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
const LOWEST: f32 = -87.0;
const HIGHEST: f32 = 88.0;

/// e^r - 1 for |r| <= ln 2 / 2.
#[inline(always)]
fn small_exp_m1(r: f32) -> f32 {
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    p * r * r + r
}

/// e^x; 0 below -87, infinity above 88, NaN for NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let significand = 1.0 + small_exp_m1(r);
    let y = f32::from_bits(significand.to_bits().wrapping_add(shifted.to_bits() << 23));
    let y = if x < LOWEST { 0.0 } else { y };
    let y = if x > HIGHEST { f32::INFINITY } else { y };
    if x.is_nan() { x } else { y }
}

/// e^x - 1 without cancellation near 0, for x <= 0; -1 far below, NaN for NaN.
#[inline(always)]
pub(crate) fn exp_m1(x: f32) -> f32 {
    let (near, far) = (small_exp_m1(x), exp(x) - 1.0);
    if x.abs() < 0.5 * std::f32::consts::LN_2 {
        near
    } else {
        far
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_stay_within_two_ulp_of_the_truth() {
        for step in -86_999..=87_999 {
            let x = step as f32 * 1e-3;
            let truth = f64::from(x).exp();
            let error = (f64::from(exp(x)) - truth).abs() / truth;
            assert!(error < 2.4e-7, "exp({x}) off by {error:e}");
            if x <= 0.0 {
                let truth = f64::from(x).exp_m1();
                let error = (f64::from(exp_m1(x)) - truth).abs();
                assert!(
                    error <= 2.4e-7 * truth.abs(),
                    "exp_m1({x}) off by {error:e}"
                );
            }
        }
    }

    #[test]
    fn ends_and_nan() {
        assert_eq!(exp(-1e4), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(1e4), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan() && exp_m1(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp_m1(f32::NEG_INFINITY), -1.0);
    }
}
