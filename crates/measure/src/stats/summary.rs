use super::bootstrap::median_interval;
use super::quantile::quantile;
use serde::{Deserialize, Serialize};

/// What raw samples say: order statistics, the mean, and how sure the median is. Same unit as the samples (ns).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Samples.
    pub n: usize,
    /// Fastest sample: the least disturbed one.
    pub min: f64,
    /// 10th percentile.
    pub p10: f64,
    /// Median.
    pub median: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile; with fewer than 100 samples it leans on the slowest ones.
    pub p99: f64,
    /// Slowest sample.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// 95 % percentile-bootstrap interval of the median (low, high).
    pub interval: (f64, f64),
}

impl Summary {
    /// Summarises samples given in any order; `None` when there are none, or one is NaN or infinite.
    ///
    /// `seed` decides the bootstrap's resamples ([`median_interval`]). O(n log n) and
    /// [`RESAMPLES`](super::RESAMPLES) selections of a median.
    pub fn from_samples(samples: &[f64], seed: u64) -> Option<Self> {
        if samples.is_empty() || !samples.iter().all(|x| x.is_finite()) {
            return None;
        }
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        Some(Self {
            n: sorted.len(),
            min: quantile(&sorted, 0.0),
            p10: quantile(&sorted, 0.1),
            median: quantile(&sorted, 0.5),
            p90: quantile(&sorted, 0.9),
            p99: quantile(&sorted, 0.99),
            max: quantile(&sorted, 1.0),
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            interval: median_interval(&sorted, seed),
        })
    }

    /// Half the interval's width over the median: 0.02 reads "the median is known to ±2 %".
    pub fn relative_half_width(&self) -> f64 {
        (self.interval.1 - self.interval.0) / 2.0 / self.median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_of_a_known_sequence() {
        let x: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let s = Summary::from_samples(&x, 5).unwrap();
        assert_eq!((s.n, s.min, s.p10, s.median), (101, 0.0, 10.0, 50.0));
        assert_eq!((s.p90, s.p99, s.max, s.mean), (90.0, 99.0, 100.0, 50.0));
        // Order statistics at n/2 ± 1.96·√n/2 hold 95 % of a median: ranks 40.65 and 60.35 here.
        assert!((s.interval.0 - 40.5).abs() <= 2.5, "{:?}", s.interval);
        assert!((s.interval.1 - 59.5).abs() <= 2.5, "{:?}", s.interval);
        assert!((s.relative_half_width() - 0.19).abs() < 0.05);
    }

    #[test]
    fn order_of_the_samples_does_not_matter() {
        let forward: Vec<f64> = (1..40).map(|i| f64::from(i * i)).collect();
        let backward: Vec<f64> = forward.iter().rev().copied().collect();
        assert_eq!(
            Summary::from_samples(&forward, 2),
            Summary::from_samples(&backward, 2)
        );
    }

    #[test]
    fn what_is_not_a_sample_is_refused() {
        assert_eq!(Summary::from_samples(&[], 1), None);
        assert_eq!(Summary::from_samples(&[1.0, f64::NAN], 1), None);
        assert_eq!(Summary::from_samples(&[f64::INFINITY], 1), None);
    }

    #[test]
    fn summary_survives_json() {
        let s = Summary::from_samples(&[0.1, 0.2, 0.7], 1).unwrap();
        let text = serde_json::to_string(&s).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), s);
    }
}
