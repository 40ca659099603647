use super::bootstrap::median_interval;
use super::quantile::median;
use serde::{Deserialize, Serialize};

/// How many times `a` takes the time of `b`, judged round by round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatioSummary {
    /// Rounds that both took part in.
    pub n: usize,
    /// Median of a/b over the rounds.
    pub median: f64,
    /// 95 % percentile-bootstrap interval of that median (low, high); a difference is shown when 1 is outside.
    pub interval: (f64, f64),
}

/// The ratio a/b taken within each round, and its median with an interval.
///
/// Samples at the same index were taken in the same round, moments apart, so that slow drift of the
/// machine cancels: this is the paired design, far more sensitive than comparing two medians. Rounds
/// beyond the shorter slice, and rounds whose ratio is not finite, are left out; `None` when no round
/// remains.
///
/// ```
/// // The machine slows down by half midway; the ratio does not notice.
/// let a = [2.0, 2.0, 2.0, 3.0, 3.0, 3.0];
/// let b = [1.0, 1.0, 1.0, 1.5, 1.5, 1.5];
/// let ratio = measure::ratio_within_rounds(&a, &b, 1).unwrap();
/// assert_eq!((ratio.median, ratio.interval), (2.0, (2.0, 2.0)));
/// ```
pub fn ratio_within_rounds(a: &[f64], b: &[f64], seed: u64) -> Option<RatioSummary> {
    let ratios: Vec<f64> = a
        .iter()
        .zip(b)
        .map(|(a, b)| a / b)
        .filter(|r| r.is_finite())
        .collect();
    if ratios.is_empty() {
        return None;
    }
    Some(RatioSummary {
        n: ratios.len(),
        median: median(&ratios),
        interval: median_interval(&ratios, seed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairing_sees_a_difference_that_drift_hides() {
        // Drift of 10x over the run; a is 2 % slower than b in every round.
        let b: Vec<f64> = (0..40).map(|i| 100.0 * 1.06f64.powi(i)).collect();
        let a: Vec<f64> = b.iter().map(|x| x * 1.02).collect();
        let ratio = ratio_within_rounds(&a, &b, 9).unwrap();
        assert!(
            ratio.interval.0 > 1.019 && ratio.interval.1 < 1.021,
            "{ratio:?}"
        );
    }

    #[test]
    fn unpaired_and_infinite_rounds_are_left_out() {
        let ratio = ratio_within_rounds(&[1.0, 4.0, 9.0], &[0.0, 2.0], 1).unwrap();
        assert_eq!((ratio.n, ratio.median), (1, 2.0));
        assert_eq!(ratio_within_rounds(&[1.0], &[], 1), None);
    }
}
