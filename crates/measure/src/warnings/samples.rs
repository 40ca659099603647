use super::{Code, Warning};
use crate::rounds::{RoundPlan, Samples, Stop};
use crate::stats::{Summary, bootstrap_interval, median, outliers};

/// Below this many rounds the ends of a 95 % interval are the fastest and the slowest sample, or nearly.
const FEW_ROUNDS: usize = 10;

/// A change between the halves below this is of no consequence, however sure it is.
const DRIFT: f64 = 0.03;

/// Resamples for the drift: a yes-or-no question needs fewer than an interval in a table.
const DRIFT_RESAMPLES: usize = 400;

/// More outliers than this share are a habit of the machine and worth a word; one in a hundred is not.
const OUTLIER_SHARE: f64 = 0.05;

/// Doubts about one contestant's samples, given the plan they were taken under.
pub fn sample_warnings(samples: &Samples, plan: &RoundPlan) -> Vec<Warning> {
    let times = samples.as_f64();
    let Some(summary) = Summary::from_samples(&times, plan.seed) else {
        return Vec::new();
    };
    let name = &samples.name;
    let mut found = Vec::new();
    if summary.n < FEW_ROUNDS {
        let advice = match samples.stop {
            Stop::Budget | Stop::BudgetBeforeMinimum => {
                format!(
                    "Raise the time budget (it was {:?}), or measure fewer variants or a smaller problem",
                    plan.budget
                )
            }
            Stop::MaxRounds | Stop::Converged => {
                format!(
                    "Raise the rounds (minimum {}, maximum {})",
                    plan.min_rounds, plan.max_rounds
                )
            }
        };
        let message = format!(
            "{name}: {} rounds are too few for a trustworthy interval",
            summary.n
        );
        found.push(Warning::new(Code::FewRounds, message, advice));
    }
    let width = summary.relative_half_width();
    if plan.relative_interval > 0.0 && width > plan.relative_interval {
        let remedy = match samples.stop {
            Stop::MaxRounds => "Raise the maximum of rounds",
            _ => "Raise the time budget",
        };
        found.push(Warning::new(
            Code::WideInterval,
            format!(
                "{name}: the median is known to ±{:.1} %, not to the ±{:.1} % asked for",
                width * 100.0,
                plan.relative_interval * 100.0
            ),
            format!(
                "{remedy}, or measure on a quieter machine; ratios within rounds may still be sharp"
            ),
        ));
    }
    found.extend(drift(name, &times, plan));
    found.extend(many_outliers(name, &times));
    found
}

/// Whether the second half of the rounds is slower or faster than the first, surely and noticeably.
fn drift(name: &str, times: &[f64], plan: &RoundPlan) -> Option<Warning> {
    if times.len() < FEW_ROUNDS {
        return None;
    }
    let (first, second) = times.split_at(times.len() / 2);
    let change = median(second) / median(first) - 1.0;
    if change.abs() <= DRIFT {
        return None;
    }
    // Both halves are resampled with the same draws, scaled to their lengths (they differ by one at most).
    let at = |half: &[f64], rows: &[usize]| {
        median(&rows.iter().map(|&row| half[row]).collect::<Vec<_>>())
    };
    let (low, high) = bootstrap_interval(times.len(), DRIFT_RESAMPLES, plan.seed, |rows| {
        let (to_first, to_second) = rows.split_at(first.len());
        let to_first: Vec<usize> = to_first.iter().map(|row| row % first.len()).collect();
        let to_second: Vec<usize> = to_second.iter().map(|row| row % second.len()).collect();
        at(second, &to_second) / at(first, &to_first)
    });
    if low <= 1.0 && 1.0 <= high {
        return None;
    }
    let direction = if change > 0.0 { "slower" } else { "faster" };
    let advice = if change > 0.0 {
        "The machine may be throttling or getting busier: let it cool, close other programs, and compare within rounds only"
    } else {
        "The warm-up was too short, or the machine became quieter: raise the warm-up and measure again"
    };
    let percent = change.abs() * 100.0;
    let message = format!(
        "{name}: the second half of the rounds was {percent:.0} % {direction} than the first"
    );
    Some(Warning::new(Code::Drift, message, advice))
}

fn many_outliers(name: &str, times: &[f64]) -> Option<Warning> {
    let count = outliers(times).len();
    if times.len() < FEW_ROUNDS || count as f64 <= OUTLIER_SHARE * times.len() as f64 {
        return None;
    }
    Some(Warning::new(
        Code::Outliers,
        format!(
            "{name}: {count} of {} samples are outliers (modified z-score above 3.5)",
            times.len()
        ),
        "Something else runs now and then: close it, or read the median and p10 and leave the mean and p99 alone",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn samples(nanoseconds: Vec<u64>, stop: Stop) -> Samples {
        Samples {
            name: "x".to_owned(),
            nanoseconds,
            calls_per_sample: 1,
            stop,
            warmup_ns: Vec::new(),
        }
    }

    fn codes(nanoseconds: Vec<u64>) -> Vec<Code> {
        let found = sample_warnings(
            &samples(nanoseconds, Stop::Converged),
            &RoundPlan::default(),
        );
        found.iter().map(|warning| warning.code).collect()
    }

    /// Times round 1000 with ±0.5 %, without a trend.
    fn steady(n: u64) -> Vec<u64> {
        (0..n).map(|i| 995 + i * 7 % 11).collect()
    }

    #[test]
    fn steady_samples_have_no_warnings() {
        assert_eq!(codes(steady(40)), []);
        assert_eq!(codes(Vec::new()), []);
    }

    #[test]
    fn a_step_midway_is_drift_and_noise_is_not() {
        let mut step = steady(40);
        step[20..].iter_mut().for_each(|ns| *ns += 80);
        assert!(codes(step).contains(&Code::Drift));
        // Steps of the golden section: wide, and without a trend.
        let noise = (0..40).map(|i| 1000 + i * 247 % 400).collect();
        assert!(!codes(noise).contains(&Code::Drift));
    }

    #[test]
    fn drift_says_which_way() {
        let mut falling = steady(41);
        falling[..20].iter_mut().for_each(|ns| *ns += 300);
        let found = sample_warnings(&samples(falling, Stop::Converged), &RoundPlan::default());
        let drift = found
            .iter()
            .find(|warning| warning.code == Code::Drift)
            .unwrap();
        assert!(
            drift.message.contains("23 % faster") && drift.advice.contains("warm-up"),
            "{drift}"
        );
    }

    #[test]
    fn a_single_outlier_is_let_pass_and_many_are_not() {
        let mut few = steady(40);
        few[7] = 5000;
        assert_eq!(codes(few.clone()), []);
        few.iter_mut().step_by(10).for_each(|ns| *ns = 5000);
        assert_eq!(codes(few), [Code::Outliers]);
    }

    #[test]
    fn advice_follows_from_why_the_rounds_ended() {
        let plan = RoundPlan {
            budget: Duration::from_secs(3),
            max_rounds: 4,
            ..RoundPlan::default()
        };
        let wide = vec![100, 200, 300, 400];
        let by_budget = sample_warnings(&samples(wide.clone(), Stop::BudgetBeforeMinimum), &plan);
        assert_eq!(
            by_budget.iter().map(|w| w.code).collect::<Vec<_>>(),
            [Code::FewRounds, Code::WideInterval]
        );
        assert!(by_budget[0].advice.contains("budget (it was 3s)"));
        let by_rounds = sample_warnings(&samples(wide, Stop::MaxRounds), &plan);
        assert!(
            by_rounds[0].advice.contains("maximum 4")
                && by_rounds[1].advice.contains("maximum of rounds")
        );
    }
}
