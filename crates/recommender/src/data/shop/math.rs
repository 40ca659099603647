//! Exponential, logarithm and normal quantile from additions, multiplications and divisions alone.
//!
//! The standard library's come from the platform and differ in the last bit from one to the next; IEEE arithmetic does
//! not, so that a simulated shop has the same content on any machine.

use std::f64::consts::{LN_2, SQRT_2};

/// e^x to about 1e-15 relative, for |x| up to 700; clamped beyond.
pub(super) fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let octaves = (x / LN_2).round();
    let rest = x - octaves * LN_2;
    // Taylor by Horner: |rest| <= ln(2)/2, the 14th term is below 1e-17.
    let series = (1..=14)
        .rev()
        .fold(1.0, |sum, term| 1.0 + sum * rest / f64::from(term));
    series * power_of_two(octaves as i32)
}

/// ln(x) to about 1e-15 for a positive normal x.
pub(super) fn ln(x: f64) -> f64 {
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let mut mantissa = x / power_of_two(exponent);
    let mut octaves = f64::from(exponent);
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        octaves += 1.0;
    }
    // ln m = 2 artanh((m - 1)/(m + 1)), whose argument is at most 0.172 in size.
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let series = (0..=11).rev().fold(0.0, |sum, term| {
        sum * square + 1.0 / f64::from(2 * term + 1)
    });
    octaves * LN_2 + 2.0 * ratio * series
}

/// 2^k for a k whose power is a normal number.
fn power_of_two(k: i32) -> f64 {
    f64::from_bits(((k + 1023) as u64) << 52)
}

/// The standard normal quantile, to 1.2e-9 relative (P. J. Acklam's rational approximation), for 0 < p < 1.
pub(super) fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 5] = [
        7.784695709041462e-3,
        3.224671290700398e-1,
        2.445134137142996,
        3.754408661907416,
        1.0,
    ];
    const TAIL: f64 = 0.02425;
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let x = (-2.0 * ln(p)).sqrt();
        horner(&C, x) / horner(&D, x)
    };
    if p < TAIL {
        tail(p)
    } else if p > 1.0 - TAIL {
        -tail(1.0 - p)
    } else {
        let x = p - 0.5;
        x * horner(&A, x * x) / horner(&B, x * x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_ln_agree_with_the_platform() {
        for step in -2000..2000 {
            let x = f64::from(step) * 0.173;
            assert!(
                (exp(x) / x.exp() - 1.0).abs() < 3e-15 * (1.0 + x.abs()),
                "exp {x}"
            );
            let y = x.exp();
            assert!(
                (ln(y) - y.ln()).abs() < 1e-14 * (1.0 + y.ln().abs()),
                "ln {y}"
            );
        }
    }

    #[test]
    fn normal_quantile_hits_known_values() {
        for (p, z) in [
            (0.5, 0.0),
            (0.975, 1.959963984540054),
            (0.001, -3.090232306167813),
            (0.2, -0.8416212335729143),
        ] {
            assert!(
                (normal_quantile(p) - z).abs() < 1e-8 * (1.0 + z.abs()),
                "{p}"
            );
        }
    }
}
