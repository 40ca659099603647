//! Power laws with the interval of their exponent.

use measure::log_log_slope;

/// A power law, and the 95 % interval of its exponent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fit {
    pub(crate) exponent: f64,
    pub(crate) interval: (f64, f64),
}

impl Fit {
    /// Fits ln y to ln x by least squares; the interval is Student's, from the scatter about the line.
    ///
    /// `None` with fewer than three points, of which two leave no scatter, or where there is no slope.
    pub(crate) fn of(x: &[f64], y: &[f64]) -> Option<Self> {
        let n = x.len().min(y.len());
        let slope = log_log_slope(x, y)?;
        let scatter: f64 = x
            .iter()
            .zip(y)
            .map(|(&x, &y)| (y / slope.at(x)).ln().powi(2))
            .sum();
        let mean = x.iter().map(|x| x.ln()).sum::<f64>() / n as f64;
        let spread: f64 = x.iter().map(|x| (x.ln() - mean).powi(2)).sum();
        let freedom = n.checked_sub(2).filter(|f| *f > 0)?;
        let half = student_t(freedom) * (scatter / freedom as f64 / spread).sqrt();
        Some(Fit {
            exponent: slope.exponent,
            interval: (slope.exponent - half, slope.exponent + half),
        })
    }
}

/// The 97.5 % quantile of Student's t, to 1e-3; infinite without a degree of freedom.
///
/// Beyond the table by the first terms of Cornish and Fisher's expansion.
pub(crate) fn student_t(freedom: usize) -> f64 {
    const FIRST: [f64; 7] = [f64::INFINITY, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447];
    const Z: f64 = 1.959_964;
    if let Some(&t) = FIRST.get(freedom) {
        return t;
    }
    let (z3, z5, z7) = (Z.powi(3), Z.powi(5), Z.powi(7));
    let inverse = 1.0 / freedom as f64;
    let first = (z3 + Z) / 4.0;
    let second = (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / 96.0;
    let third = (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * Z) / 384.0;
    Z + inverse * (first + inverse * (second + inverse * third))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_textbook() {
        // ln y = 2 ln x with residuals -d, 2d, -d: scatter 6d², one degree of freedom, Σ(x - mean)² = 2.
        let d = 0.01;
        let x = [1.0, 2.0, 3.0].map(f64::exp);
        let y = [2.0 - d, 4.0 + 2.0 * d, 6.0 - d].map(f64::exp);
        let fit = Fit::of(&x, &y).unwrap();
        let half = 12.706 * (6.0 * d * d / 2.0).sqrt();
        assert!((fit.exponent - 2.0).abs() < 1e-12);
        assert!((fit.interval.0 - (2.0 - half)).abs() < 1e-9, "{fit:?}");
        assert!((fit.interval.1 - (2.0 + half)).abs() < 1e-9, "{fit:?}");
        assert_eq!(Fit::of(&x[..2], &y[..2]), None);
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, t) in [
            (1, 12.706),
            (7, 2.3646),
            (10, 2.2281),
            (30, 2.0423),
            (1_000_000, 1.96),
        ] {
            assert!((student_t(freedom) - t).abs() < 1e-3, "{freedom}");
        }
    }
}
