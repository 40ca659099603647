//! Whether two rankers differ over the same users.

use rand::RngCore;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bootstrap::{Bootstrap, Estimate};
use super::error::EvaluateError;
use super::evaluation::Evaluation;
use super::metric::Metric;
use super::protocol::Protocol;

/// The difference of two evaluations over the same users, first minus second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedTest {
    /// What the numbers stand for.
    pub protocol: Protocol,
    /// What is compared.
    pub metric: Metric,
    /// Mean difference, with the paired bootstrap's interval: both values of a user are resampled together.
    pub difference: Estimate,
    /// Two-sided p of the sign-flip permutation test: how often random signs give a mean difference as large.
    pub p: f64,
    /// Users for whom the first is better.
    pub better: usize,
    /// Users for whom the first is worse.
    pub worse: usize,
}

/// Tests whether the first evaluation differs from the second.
///
/// Interval: paired percentile bootstrap. p: sign-flip (Fisher's randomisation) test, recommended for retrieval metrics by
/// Smucker, Allan & Carterette (CIKM 2007); p = (1 + flips at least as large) / (1 + resamples), so that it is never 0. The
/// same bits for any thread count. Cost: O(resamples · users).
///
/// # Errors
/// [`EvaluateError::Unpaired`] where protocol or users differ.
///
/// ```
/// use recommender::baseline::{ItemKnn, Popularity};
/// use recommender::evaluate::{Bootstrap, paired_test};
/// use recommender::{evaluate, EvaluateConfig, Holdout, Metric, Part, Seen, ShopConfig, Split, Targets, simulate_shop};
///
/// let shop = simulate_shop(&ShopConfig { users: 600, items: 200, clusters: 20, ..ShopConfig::default() })?;
/// let split = Split::new(&shop.interactions, Holdout::LeaveOneOut)?;
/// let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
/// let (test, config) = (split.cases(Part::Test, Targets::All), EvaluateConfig::full_ranking(Seen::Kept, &[10]));
/// let neighbours = evaluate(&ItemKnn::fit(&split, 20, &threads), &test, &config, &threads)?;
/// let popular = evaluate(&Popularity::fit(&split), &test, &config, &threads)?;
/// let found = paired_test(&neighbours, &popular, Metric::HitRate(10), Bootstrap::default(), &threads)?;
/// assert!(found.difference.low > 0.0 && found.p < 0.01, "{found:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn paired_test(
    first: &Evaluation,
    second: &Evaluation,
    metric: Metric,
    bootstrap: Bootstrap,
    threads: &rayon::ThreadPool,
) -> Result<PairedTest, EvaluateError> {
    let reason = if first.protocol() != second.protocol() {
        format!(
            "one is {}, the other {}",
            first.protocol(),
            second.protocol()
        )
    } else if first.users() != second.users() {
        "they are of different users".to_string()
    } else {
        String::new()
    };
    if !reason.is_empty() {
        return Err(EvaluateError::Unpaired { reason });
    }
    let (a, b) = (first.values(metric), second.values(metric));
    let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    let p = sign_flip(&differences, bootstrap, threads);
    let count = |holds: fn(f64) -> bool| differences.iter().filter(|&&d| holds(d)).count();
    let (better, worse) = (count(|d| d > 0.0), count(|d| d < 0.0));
    let estimate = bootstrap.estimates(&[differences], threads)[0];
    Ok(PairedTest {
        protocol: first.protocol().clone(),
        metric,
        difference: estimate,
        p,
        better,
        worse,
    })
}

fn sign_flip(differences: &[f64], bootstrap: Bootstrap, threads: &rayon::ThreadPool) -> f64 {
    let moved: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    // Flips that equal the observed sum but for rounding are at least as large.
    let observed = moved.iter().sum::<f64>().abs() * (1.0 - 1e-12);
    let as_large = threads.install(|| {
        (0..bootstrap.resamples)
            .into_par_iter()
            .filter(|&resample| {
                // Streams apart from those of the interval.
                let mut rng = bootstrap.stream(resample + bootstrap.resamples);
                let flip = |chunk: &[f64]| {
                    let signs = rng.next_u64();
                    let signed =
                        |(at, &d): (usize, &f64)| if signs >> at & 1 == 0 { d } else { -d };
                    chunk.iter().enumerate().map(signed).sum::<f64>()
                };
                moved.chunks(64).map(flip).sum::<f64>().abs() >= observed
            })
            .count()
    });
    (1 + as_large) as f64 / (1 + bootstrap.resamples) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(differences: &[f64]) -> f64 {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(2)
            .build()
            .unwrap();
        let bootstrap = Bootstrap {
            resamples: 20_000,
            ..Bootstrap::default()
        };
        sign_flip(differences, bootstrap, &threads)
    }

    #[test]
    fn sign_flips_agree_with_all_flips_enumerated() {
        let differences = [0.5, -0.2, 0.3, 0.0, 0.4, 0.1, -0.1, 0.6];
        let observed: f64 = differences.iter().sum();
        let flips = 1u32 << differences.len();
        let as_large = (0..flips)
            .filter(|signs| {
                let signed = differences.iter().enumerate();
                let sum: f64 = signed
                    .map(|(at, d)| if signs >> at & 1 == 0 { *d } else { -d })
                    .sum();
                sum.abs() >= observed - 1e-9
            })
            .count();
        let exact = as_large as f64 / f64::from(flips);
        assert!(
            (p(&differences) - exact).abs() < 0.01,
            "{} {exact}",
            p(&differences)
        );
    }

    #[test]
    fn no_difference_is_never_significant() {
        assert_eq!(p(&[0.0; 9]), 1.0);
        assert_eq!(p(&[]), 1.0);
    }
}
