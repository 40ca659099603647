//! Tuning of inputs to a stated entropy.

use attention::accuracy::{RowSample, effective_keys};
use attention::{Problem, Workers, oracle};

/// How close η comes to its target.
pub const TOLERANCE: f64 = 1e-3;

/// Logits beyond this are no use to anyone, and the largest that every variant must stand.
const LARGEST_LOGIT: f64 = 1e4;

/// The factor on Q that gives a problem its entropy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuned {
    /// Factor on Q.
    pub factor: f64,
    /// η reached.
    pub entropy: f64,
}

/// A target that no factor reaches.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("entropy {target} is out of reach for these inputs: the nearest is {nearest:.4}")]
pub struct OutOfReach {
    /// What was asked for.
    pub target: f64,
    /// The nearest η that can be had.
    pub nearest: f64,
}

/// Finds the factor on Q for which η = mean exp(H(P_i))/|Ω(i)| over the sampled rows is `target`, by
/// bisection: η falls as the factor grows, since dH/dβ = -β·Var(S).
///
/// Cost: O(rows·Nk·D) once, O(rows·Nk) a step, O(rows·Nk) memory.
///
/// # Errors
/// [`OutOfReach`] with the nearest η: with few visible keys even one of them is a large share.
pub fn tune(
    problem: &Problem<'_>,
    sample: &RowSample,
    target: f64,
    workers: &Workers,
) -> Result<Tuned, OutOfReach> {
    let scores = Scores::of(problem, sample, workers);
    let settle = |factor, entropy: f64| {
        let near = (entropy - target).abs() < TOLERANCE;
        if near {
            Ok(Tuned { factor, entropy })
        } else {
            Err(OutOfReach {
                target,
                nearest: entropy,
            })
        }
    };
    let limit = scores.largest_factor();
    let (mut low, mut high) = (0.0, limit);
    let sharpest = scores.entropy(limit, workers);
    if sharpest >= target {
        return settle(limit, sharpest);
    }
    let mut middle = (1.0, scores.entropy(1.0, workers));
    // The factor is found to its last bits, and η with it: steps in the logarithm once both ends are
    // positive, since it may lie anywhere between 1e-3 and 1e4.
    for _ in 0..100 {
        if (middle.1 - target).abs() < TOLERANCE / 100.0 {
            break;
        }
        if middle.1 > target {
            low = middle.0;
        } else {
            high = middle.0;
        }
        let factor = if low > 0.0 {
            f64::sqrt(low * high)
        } else {
            high / 8.0
        };
        middle = (factor, scores.entropy(factor, workers));
    }
    settle(middle.0, middle.1)
}

/// Scores of the sampled rows over their visible keys, before any factor.
struct Scores(Vec<Vec<f64>>);

impl Scores {
    fn of(problem: &Problem<'_>, sample: &RowSample, workers: &Workers) -> Self {
        let heads: Vec<_> = sample.heads().iter().collect();
        let scores = workers.map(heads, |(sequence, head, rows)| {
            let head = problem.head(*sequence, *head);
            let keys = head.k.mapv(f64::from);
            let row = |&i: &usize| -> Vec<f64> {
                let query = head.q.row(i).mapv(f64::from);
                let visible = head.mask.span(i).filter(|&j| head.mask.regular(i, j));
                visible
                    .map(|j| oracle::dot(query.view(), keys.row(j)) * f64::from(head.scale))
                    .collect()
            };
            rows.iter()
                .map(row)
                .filter(|row| !row.is_empty())
                .collect::<Vec<_>>()
        });
        Self(scores.into_iter().flatten().collect())
    }

    fn largest_factor(&self) -> f64 {
        let largest = self
            .0
            .iter()
            .flatten()
            .fold(0.0, |m: f64, s| m.max(s.abs()));
        if largest > 0.0 {
            LARGEST_LOGIT / largest
        } else {
            1.0
        }
    }

    fn entropy(&self, factor: f64, workers: &Workers) -> f64 {
        let shares = workers.map(self.0.iter().collect(), |row: &Vec<f64>| {
            let max = row.iter().fold(f64::NEG_INFINITY, |m, s| m.max(factor * s));
            let mut weights: Vec<f64> = row.iter().map(|s| (factor * s - max).exp()).collect();
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= sum);
            effective_keys(&weights) / row.len() as f64
        });
        // Summed in the order of the rows, whoever computed them.
        shares.iter().sum::<f64>() / shares.len().max(1) as f64
    }
}
