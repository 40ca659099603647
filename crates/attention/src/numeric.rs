//! Arithmetic that several kernels share.

use ndarray::ArrayView2;

/// log2(e): scores multiplied by it make the softmax a matter of powers of two.
pub const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// 2^r on [-½, ½] as a polynomial of degree six, highest power first, after Cephes (Moshier, `exp2f`);
/// relative error below 2e-7 in f32.
pub const EXP2: [f32; 7] = [
    1.535_336_2e-4,
    1.339_887_4e-3,
    9.618_437e-3,
    5.550_332_5e-2,
    2.402_265e-1,
    6.931_472e-1,
    1.0,
];

/// 2^x in f32 for x <= 0, written so that loops over it vectorise.
///
/// Relative error below 2e-7. Below -126 it gives 0; NaN gives NaN. The value of [`EXP2`] is scaled
/// by an integer addition to the exponent.
#[inline(always)]
#[must_use]
pub fn exp2_nonpositive(x: f32) -> f32 {
    // Adding 1.5·2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x.max(-126.5) + ROUND;
    let r = x.max(-126.5) - (shifted - ROUND);
    let p = EXP2[1..].iter().fold(EXP2[0], |p, c| p * r + c);
    let scaled = f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23));
    // The comparison is false for NaN, which x itself then carries on.
    if x >= -126.0 {
        scaled
    } else if x < -126.0 {
        0.0
    } else {
        x
    }
}

/// ln(x) of non-negative sums, in f32, written so that the loop vectorises.
///
/// Relative error below 2e-7 away from 1; at 0 it gives -inf, NaN gives NaN. The polynomial is that of
/// Cephes (Moshier, `logf`).
#[inline(always)]
pub fn ln_lanes(x: &[f32], out: &mut [f32]) {
    const P: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_4e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    for (x, out) in x.iter().zip(out) {
        // x = m·2^e with m in [√½, √2): the exponent's offset is that of √½.
        let bits = x.to_bits().wrapping_sub(0x3f35_04f3);
        let e = (bits as i32 >> 23) as f32;
        let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
        let p = P[1..].iter().fold(P[0], |p, c| p * m + c);
        let m2 = m * m;
        let ln = (m + (m * m2 * p - 0.5 * m2 + e * -2.121_944_4e-4)) + e * 0.693_359_4;
        // Neither 0 nor NaN has such an m and e.
        *out = if *x > 0.0 { ln } else { *x + f32::NEG_INFINITY };
    }
}

/// Whether every entry is finite. Cost: one pass.
#[must_use]
pub fn all_finite(matrix: ArrayView2<'_, f32>) -> bool {
    // A sum of products with zero is NaN exactly if an entry is not finite, and vectorises.
    matrix.outer_iter().all(|row| match row.as_slice() {
        Some(row) => {
            let mut lanes = [0.0f32; 16];
            let chunks = row.chunks_exact(16);
            let tail: f32 = chunks.remainder().iter().map(|x| x * 0.0).sum();
            for chunk in chunks {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    *lane += x * 0.0;
                }
            }
            lanes.iter().sum::<f32>() + tail == 0.0
        }
        None => row.iter().all(|x| x.is_finite()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_right_to_two_in_ten_million() {
        let mut x = -125.9f32;
        while x <= 0.0 {
            let exact = f64::from(x).exp2();
            let error = (f64::from(exp2_nonpositive(x)) - exact).abs() / exact;
            assert!(error < 2e-7, "2^{x}: {error:e}");
            x += 0.001_37;
        }
        assert_eq!(exp2_nonpositive(0.0), 1.0);
        assert_eq!(exp2_nonpositive(-3.0), 0.125);
    }

    #[test]
    fn powers_of_two_end_in_zero_and_carry_nan() {
        assert_eq!(exp2_nonpositive(-127.0), 0.0);
        assert_eq!(exp2_nonpositive(-1e30), 0.0);
        assert_eq!(exp2_nonpositive(f32::NEG_INFINITY), 0.0);
        assert!(exp2_nonpositive(f32::NAN).is_nan());
    }

    #[test]
    fn logarithms_are_right_to_two_in_ten_million() {
        let x: Vec<f32> = (0..4000).map(|i| 1e-6 * 1.009f32.powi(i)).collect();
        let mut logs = vec![0.0; x.len()];
        ln_lanes(&x, &mut logs);
        for (x, ln) in x.iter().zip(&logs) {
            let exact = f64::from(*x).ln();
            let error = (f64::from(*ln) - exact).abs();
            assert!(error < 2e-7 * exact.abs().max(1.0), "ln {x}: {error:e}");
        }
        let mut ends = [0.0; 2];
        ln_lanes(&[0.0, f32::NAN], &mut ends);
        assert!(ends[0] == f32::NEG_INFINITY && ends[1].is_nan());
    }

    #[test]
    fn one_bad_entry_anywhere_is_found() {
        let mut matrix = ndarray::Array2::<f32>::ones((3, 37));
        assert!(all_finite(matrix.view()));
        for (i, j) in [(0, 0), (2, 36), (1, 16), (2, 33)] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                matrix[[i, j]] = bad;
                assert!(!all_finite(matrix.view()), "{i} {j} {bad}");
                assert!(!all_finite(matrix.t()));
                matrix[[i, j]] = 1.0;
            }
        }
    }
}
