//! The percentile bootstrap (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).

use super::quantile::{median_in_place, quantile};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Resamples behind every interval of this crate; 1000 is Efron & Tibshirani's advice for percentiles
/// (section 13.3).
pub const RESAMPLES: usize = 1000;

/// The 95 % percentile-bootstrap interval of any statistic of `n` observations.
///
/// `statistic` receives `n` indices below `n`, drawn with replacement, and returns its value for the
/// observations at these indices; several columns can so be resampled together. Resamples whose
/// statistic is NaN are left out. The same seed gives the same interval on every machine. Returns
/// (NaN, NaN) when `n` or `resamples` is 0.
///
/// Costs `resamples` calls of `statistic` and O(`n` + `resamples`) memory.
///
/// ```
/// let clicks = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0];
/// let mean = |rows: &[usize]| rows.iter().map(|&i| clicks[i]).sum::<f64>() / rows.len() as f64;
/// let (low, high) = measure::bootstrap_interval(clicks.len(), 1000, 7, mean);
/// assert!(low < 0.5 && 0.5 < high);
/// ```
pub fn bootstrap_interval(
    n: usize,
    resamples: usize,
    seed: u64,
    mut statistic: impl FnMut(&[usize]) -> f64,
) -> (f64, f64) {
    if n == 0 {
        return (f64::NAN, f64::NAN);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = vec![0usize; n];
    let mut values: Vec<f64> = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        // Drawn as u64: a range of usize would draw other numbers on 32-bit machines.
        rows.fill_with(|| rng.random_range(0..n as u64) as usize);
        let value = statistic(&rows);
        if !value.is_nan() {
            values.push(value);
        }
    }
    values.sort_unstable_by(f64::total_cmp);
    (quantile(&values, 0.025), quantile(&values, 0.975))
}

/// The 95 % bootstrap interval of the median of `samples`, from [`RESAMPLES`] resamples.
///
/// Below six samples no interval of order statistics reaches 95 % coverage (1 - 2·2⁻ⁿ < 0.95), and the
/// bootstrap's is too narrow: read it as a lower bound on the uncertainty.
pub fn median_interval(samples: &[f64], seed: u64) -> (f64, f64) {
    let mut resample = vec![0.0; samples.len()];
    bootstrap_interval(samples.len(), RESAMPLES, seed, |rows| {
        for (value, &row) in resample.iter_mut().zip(rows) {
            *value = samples[row];
        }
        median_in_place(&mut resample)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn interval_of_a_mean_agrees_with_its_closed_form() {
        // The bootstrap distribution of a mean is close to normal with standard deviation σ/√n, σ² the
        // population variance: for 0..100, σ² = (100² - 1)/12.
        let mean = |rows: &[usize]| rows.iter().sum::<usize>() as f64 / rows.len() as f64;
        let (low, high) = bootstrap_interval(100, 20_000, 3, mean);
        let half = 1.96 * (9999.0f64 / 12.0).sqrt() / 10.0;
        assert_relative_eq!(low, 49.5 - half, max_relative = 0.01);
        assert_relative_eq!(high, 49.5 + half, max_relative = 0.01);
    }

    #[test]
    fn interval_of_a_median_covers_the_truth_at_its_rate() {
        // Exponential samples by inversion; the true median is ln 2. With 400 experiments of coverage
        // 0.95 the standard error is 0.011.
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let covered = (0..400)
            .filter(|&seed| {
                let x: Vec<f64> = (0..41).map(|_| -(1.0 - rng.random::<f64>()).ln()).collect();
                let (low, high) = median_interval(&x, seed);
                (low..=high).contains(&std::f64::consts::LN_2)
            })
            .count();
        assert!((364..=396).contains(&covered), "{covered} of 400");
    }

    #[test]
    fn seed_decides_and_degenerate_input_is_answered() {
        let x: Vec<f64> = (0..20).map(|i| f64::from(i * i)).collect();
        assert_eq!(median_interval(&x, 1), median_interval(&x, 1));
        assert_eq!(median_interval(&[4.0; 9], 1), (4.0, 4.0));
        assert!(median_interval(&[], 1).0.is_nan());
        assert!(bootstrap_interval(3, 0, 1, |_| 1.0).1.is_nan());
        assert_eq!(
            bootstrap_interval(3, 50, 1, |rows| if rows[0] == 0 { f64::NAN } else { 2.0 }),
            (2.0, 2.0)
        );
    }
}
