//! Outliers by the modified z-score (Iglewicz & Hoaglin, "How to Detect and Handle Outliers", 1993).
//!
//! M = 0.6745·(x - median)/MAD, MAD being the median absolute deviation from the median: unlike the
//! mean and the standard deviation, neither is moved by the outliers that are looked for.

use super::quantile::{median, median_in_place};

/// The |M| above which Iglewicz & Hoaglin call an observation a potential outlier.
pub const OUTLIER_THRESHOLD: f64 = 3.5;

/// The modified z-score of every sample, in the samples' order.
///
/// When more than half of the samples are equal, MAD is 0; then the mean absolute deviation takes its
/// place with its own normal-consistency factor, M = (x - median)/(1.2533·MeanAD). When all samples are
/// equal every score is 0.
pub fn modified_z_scores(samples: &[f64]) -> Vec<f64> {
    let centre = median(samples);
    let mut deviations: Vec<f64> = samples.iter().map(|x| (x - centre).abs()).collect();
    let mean_deviation = deviations.iter().sum::<f64>() / samples.len() as f64;
    let mad = median_in_place(&mut deviations);
    // E|x| = σ·√(2/π) for a normal variable, and its median absolute deviation is 0.6745 σ.
    let sigma = if mad > 0.0 {
        mad / 0.6745
    } else {
        mean_deviation * (std::f64::consts::PI / 2.0).sqrt()
    };
    let score = |x: &f64| {
        if sigma > 0.0 {
            (x - centre) / sigma
        } else {
            0.0
        }
    };
    samples.iter().map(score).collect()
}

/// Indices of the samples whose modified z-score exceeds [`OUTLIER_THRESHOLD`] in magnitude.
///
/// ```
/// assert_eq!(measure::stats::outliers(&[10.0, 11.0, 9.0, 10.5, 95.0, 9.5]), [4]);
/// ```
pub fn outliers(samples: &[f64]) -> Vec<usize> {
    let scores = modified_z_scores(samples).into_iter().enumerate();
    scores
        .filter(|(_, score)| score.abs() > OUTLIER_THRESHOLD)
        .map(|(i, _)| i)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn scores_by_hand() {
        // Median 3, deviations 2 1 0 1 97: MAD 1.
        let scores = modified_z_scores(&[1.0, 2.0, 3.0, 4.0, 100.0]);
        assert_relative_eq!(scores[0], -1.349, max_relative = 1e-12);
        assert_relative_eq!(scores[4], 0.6745 * 97.0, max_relative = 1e-12);
    }

    #[test]
    fn mostly_equal_samples_fall_back_on_the_mean_deviation() {
        // MAD 0, mean deviation 10/10 = 1.
        let mut x = [5.0; 10];
        x[9] = 15.0;
        let scores = modified_z_scores(&x);
        assert_eq!(scores[0], 0.0);
        assert_relative_eq!(scores[9], 10.0 / 1.253_314_137, max_relative = 1e-8);
        assert_eq!(outliers(&x), [9]);
    }

    #[test]
    fn equal_samples_have_no_outliers() {
        assert_eq!(modified_z_scores(&[2.0; 4]), [0.0; 4]);
        assert!(outliers(&[]).is_empty());
    }
}
