use serde::{Deserialize, Serialize};

/// A power law y = exp(intercept)·x^exponent fitted on logarithmic axes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slope {
    /// Growth exponent: 1 is linear, 2 quadratic.
    pub exponent: f64,
    /// Natural logarithm of y at x = 1.
    pub intercept: f64,
    /// Share of the variance of ln y that the line explains; 1 when y is constant.
    pub r2: f64,
}

impl Slope {
    /// The fitted y at `x`.
    pub fn at(&self, x: f64) -> f64 {
        (self.intercept + self.exponent * x.ln()).exp()
    }
}

/// Fits ln y = intercept + exponent·ln x by ordinary least squares.
///
/// Points beyond the shorter slice are left out. `None` with fewer than two distinct x, or when a value
/// is not positive and finite.
///
/// ```
/// let slope = measure::log_log_slope(&[128.0, 256.0, 512.0], &[1.0, 4.0, 16.0]).unwrap();
/// assert!((slope.exponent - 2.0).abs() < 1e-12);
/// ```
pub fn log_log_slope(x: &[f64], y: &[f64]) -> Option<Slope> {
    let points: Vec<(f64, f64)> = x.iter().zip(y).map(|(x, y)| (x.ln(), y.ln())).collect();
    if points.is_empty() || !points.iter().all(|(x, y)| x.is_finite() && y.is_finite()) {
        return None;
    }
    let n = points.len() as f64;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / n;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
    }
    // Relative to the magnitude of the logarithms: equal x may differ from their mean by rounding.
    if xx <= n * (f64::EPSILON * (1.0 + mean_x.abs())).powi(2) {
        return None;
    }
    let exponent = xy / xx;
    let flat = yy <= n * (f64::EPSILON * (1.0 + mean_y.abs())).powi(2);
    let r2 = if flat {
        1.0
    } else {
        (xy * xy / (xx * yy)).min(1.0)
    };
    Some(Slope {
        exponent,
        intercept: mean_y - exponent * mean_x,
        r2,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn least_squares_by_hand() {
        // ln x = 0, 1, 2 and ln y = 0, 1, 1: slope 1/2, intercept 1/6, r² = 1²/(2·2/3) = 3/4.
        let e = std::f64::consts::E;
        let s = log_log_slope(&[1.0, e, e * e], &[1.0, e, e]).unwrap();
        assert_relative_eq!(s.exponent, 0.5, max_relative = 1e-12);
        assert_relative_eq!(s.intercept, 1.0 / 6.0, max_relative = 1e-12);
        assert_relative_eq!(s.r2, 0.75, max_relative = 1e-12);
        assert_relative_eq!(s.at(e), (2.0f64 / 3.0).exp(), max_relative = 1e-12);
    }

    #[test]
    fn constant_time_has_exponent_zero() {
        let s = log_log_slope(&[10.0, 20.0, 30.0], &[5.0; 3]).unwrap();
        assert_relative_eq!(s.exponent, 0.0, epsilon = 1e-12);
        assert_eq!(s.r2, 1.0);
    }

    #[test]
    fn no_line_without_two_positions_on_the_logarithmic_axis() {
        assert_eq!(log_log_slope(&[3.0], &[1.0]), None);
        assert_eq!(log_log_slope(&[3.3, 3.3, 3.3], &[1.0, 2.0, 7.0]), None);
        assert_eq!(log_log_slope(&[0.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(log_log_slope(&[1.0, 2.0], &[-1.0, 2.0]), None);
    }
}
