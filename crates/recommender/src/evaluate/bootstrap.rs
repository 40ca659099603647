//! Percentile bootstrap over users (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How intervals and tests resample users.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bootstrap {
    /// Resamples; 1000 is Efron & Tibshirani's advice for percentiles (section 13.3).
    pub resamples: usize,
    /// Share of resamples within an interval, between 0 and 1.
    pub level: f64,
    /// Seed; each resample draws from a stream of its own.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            resamples: 1000,
            level: 0.95,
            seed: 0,
        }
    }
}

/// A mean over users with its interval; NaN where there are no users.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Bootstrap {
    /// Means of columns of values, one value a user, all columns resampled together.
    ///
    /// The same bits for any thread count. Cost: O(resamples · users · columns).
    pub(super) fn estimates(
        &self,
        columns: &[Vec<f64>],
        threads: &rayon::ThreadPool,
    ) -> Vec<Estimate> {
        let users = columns.first().map_or(0, Vec::len);
        let resampled: Vec<Vec<f64>> = threads.install(|| {
            (0..self.resamples)
                .into_par_iter()
                .map(|resample| self.resample(resample, users, columns))
                .collect()
        });
        let tail = (1.0 - self.level) / 2.0;
        let estimate = |(at, column): (usize, &Vec<f64>)| {
            let mut means: Vec<f64> = resampled.iter().map(|means| means[at]).collect();
            means.sort_unstable_by(f64::total_cmp);
            Estimate {
                value: mean(column),
                low: quantile(&means, tail),
                high: quantile(&means, 1.0 - tail),
            }
        };
        columns.iter().enumerate().map(estimate).collect()
    }

    /// A generator for one resample, the same whatever thread it is drawn on.
    pub(super) fn stream(&self, resample: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(resample as u64);
        rng
    }

    fn resample(&self, resample: usize, users: usize, columns: &[Vec<f64>]) -> Vec<f64> {
        let mut rng = self.stream(resample);
        let drawn: Vec<u32> = (0..users)
            .map(|_| rng.random_range(0..users as u32))
            .collect();
        let sum = |column: &Vec<f64>| drawn.iter().map(|&user| column[user as usize]).sum::<f64>();
        columns
            .iter()
            .map(|column| sum(column) / users as f64)
            .collect()
    }
}

/// NaN of none.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Linear interpolation between order statistics (Hyndman & Fan's type 7); NaN of none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    }

    #[test]
    fn the_interval_of_a_hit_rate_is_that_of_the_binomial() {
        let hits: Vec<f64> = (0..2000)
            .map(|user| f64::from(u8::from(user % 5 == 0)))
            .collect();
        let found = Bootstrap {
            resamples: 2000,
            ..Bootstrap::default()
        }
        .estimates(&[hits], &pool(2))[0];
        let deviation = (0.2 * 0.8 / 2000f64).sqrt();
        assert_relative_eq!(found.value, 0.2);
        assert_relative_eq!(
            found.low,
            0.2 - 1.96 * deviation,
            epsilon = 0.15 * deviation
        );
        assert_relative_eq!(
            found.high,
            0.2 + 1.96 * deviation,
            epsilon = 0.15 * deviation
        );
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads() {
        let columns: Vec<Vec<f64>> = (1..4)
            .map(|step| {
                (0..301)
                    .map(|user| 1.0 / f64::from(user * step % 17 + 1))
                    .collect()
            })
            .collect();
        let one = Bootstrap::default().estimates(&columns, &pool(1));
        assert_eq!(one, Bootstrap::default().estimates(&columns, &pool(3)));
        let other = Bootstrap {
            seed: 1,
            ..Bootstrap::default()
        };
        assert_ne!(one, other.estimates(&columns, &pool(1)));
    }

    #[test]
    fn no_users_give_no_number() {
        let found = Bootstrap::default().estimates(&[Vec::new()], &pool(1))[0];
        assert!(found.value.is_nan() && found.low.is_nan() && found.high.is_nan());
    }
}
