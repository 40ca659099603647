//! Metrics of one user from the ranks of their targets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A metric with a value for each user; what is reported is the mean over users.
///
/// Prints as and parses from `HR@10`, `NDCG@10`, `MRR`.
///
/// ```
/// use recommender::Metric;
///
/// assert_eq!("NDCG@10".parse(), Ok(Metric::Ndcg(10)));
/// // The only target at rank 3: 1 / log2(3 + 1).
/// assert_eq!(Metric::Ndcg(10).of(&[3]), 0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// Hit rate: 1 where a target is among the first K, else 0. With one target it is also Recall@K.
    HitRate(usize),
    /// Normalised discounted cumulative gain with binary gains (Järvelin & Kekäläinen 2002): the sum of
    /// 1 / log2(rank + 1) over targets among the first K, over that of the best possible order.
    Ndcg(usize),
    /// Reciprocal rank of the best-ranked target, without a cut; 0 where none is ranked.
    Mrr,
}

impl Metric {
    /// Value for a user whose targets have these ranks, from 1; 0 stands for a target that is not ranked.
    pub fn of(self, ranks: &[u32]) -> f64 {
        let ranked = ranks.iter().filter(|&&rank| rank > 0);
        match self {
            Self::HitRate(k) => f64::from(u8::from(ranked.clone().any(|&rank| rank as usize <= k))),
            Self::Ndcg(k) => {
                let gain = |rank: u32| 1.0 / f64::from(rank + 1).log2();
                let found: f64 = ranked
                    .filter(|&&rank| rank as usize <= k)
                    .map(|&rank| gain(rank))
                    .sum();
                let best: f64 = (1..=ranks.len().min(k) as u32).map(gain).sum();
                if best == 0.0 { 0.0 } else { found / best }
            }
            Self::Mrr => ranked.min().map_or(0.0, |&rank| 1.0 / f64::from(rank)),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HitRate(k) => write!(f, "HR@{k}"),
            Self::Ndcg(k) => write!(f, "NDCG@{k}"),
            Self::Mrr => f.write_str("MRR"),
        }
    }
}

/// A metric's name that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no metric `{0}`; expected HR@K, NDCG@K (K from 1) or MRR, e.g. NDCG@10")]
pub struct MetricError(pub String);

impl FromStr for Metric {
    type Err = MetricError;

    fn from_str(text: &str) -> Result<Self, MetricError> {
        let refuse = || MetricError(text.to_string());
        if text == "MRR" {
            return Ok(Self::Mrr);
        }
        let (name, k) = text.split_once('@').ok_or_else(refuse)?;
        let k: usize = k.parse().ok().filter(|&k| k > 0).ok_or_else(refuse)?;
        match name {
            "HR" => Ok(Self::HitRate(k)),
            "NDCG" => Ok(Self::Ndcg(k)),
            _ => Err(refuse()),
        }
    }
}

impl TryFrom<String> for Metric {
    type Error = MetricError;

    fn try_from(text: String) -> Result<Self, MetricError> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn metrics_counted_by_hand() {
        // Targets at ranks 2 and 5, and one that is not ranked.
        let ranks = [5, 0, 2];
        assert_eq!(Metric::HitRate(1).of(&ranks), 0.0);
        assert_eq!(Metric::HitRate(2).of(&ranks), 1.0);
        assert_eq!(Metric::Mrr.of(&ranks), 0.5);
        let best = 1.0 + 1.0 / 3f64.log2() + 0.5;
        let found = 1.0 / 3f64.log2() + 1.0 / 6f64.log2();
        assert_relative_eq!(Metric::Ndcg(10).of(&ranks), found / best);
        // Only two of three could be among the first two.
        let within = (1.0 / 3f64.log2()) / (1.0 + 1.0 / 3f64.log2());
        assert_relative_eq!(Metric::Ndcg(2).of(&ranks), within);
        assert_eq!(Metric::Ndcg(3).of(&[1, 2, 3]), 1.0);
    }

    #[test]
    fn a_target_that_is_not_ranked_counts_as_missed() {
        for metric in [Metric::HitRate(10), Metric::Ndcg(10), Metric::Mrr] {
            assert_eq!(metric.of(&[0]), 0.0, "{metric}");
        }
    }

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for text in ["HR@1", "NDCG@100", "MRR"] {
            assert_eq!(text.parse::<Metric>().unwrap().to_string(), text);
        }
        for text in ["HR", "HR@0", "hr@10", "NDCG@x", "MRR@10"] {
            assert_eq!(text.parse::<Metric>(), Err(MetricError(text.to_string())));
        }
    }
}
