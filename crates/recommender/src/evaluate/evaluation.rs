//! The outcome of an evaluation: ranks, from which everything else is computed.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::bootstrap::{Bootstrap, Estimate, mean};
use super::metric::Metric;
use super::protocol::Protocol;

/// The rank of every target of every user, with the protocol they hold under.
///
/// Kept as ranks so that any metric, at any K, and any comparison with another evaluation can be had later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub(super) protocol: Protocol,
    pub(super) cutoffs: Vec<usize>,
    pub(super) users: Vec<u32>,
    pub(super) lengths: Vec<u32>,
    pub(super) offsets: Vec<usize>,
    pub(super) ranks: Vec<u32>,
    pub(super) coverage: Vec<f64>,
}

/// Metrics with intervals, and the protocol they hold under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What the numbers stand for.
    pub protocol: Protocol,
    /// Means over users.
    pub metrics: Vec<(Metric, Estimate)>,
    /// Share of the catalogue that is in the first K of some user, for each K; empty where not all items were ranked.
    pub coverage: Vec<(usize, f64)>,
    /// How intervals were made.
    pub bootstrap: Bootstrap,
}

impl Evaluation {
    /// What the ranks stand for.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// Indices of the users.
    pub fn users(&self) -> &[u32] {
        &self.users
    }

    /// Ranks of one user's distinct targets, from 1; 0 stands for a target that was not ranked since it was seen.
    ///
    /// # Panics
    /// When `at` is not below the number of [`users`](Self::users), as indexing does.
    pub fn ranks(&self, at: usize) -> &[u32] {
        &self.ranks[self.offsets[at]..self.offsets[at + 1]]
    }

    /// HR and NDCG at every K of the configuration, and MRR.
    pub fn metrics(&self) -> Vec<Metric> {
        let at = |metric: fn(usize) -> Metric| self.cutoffs.iter().map(move |&k| metric(k));
        at(Metric::HitRate)
            .chain(at(Metric::Ndcg))
            .chain([Metric::Mrr])
            .collect()
    }

    /// A metric's value for each user.
    pub fn values(&self, metric: Metric) -> Vec<f64> {
        self.offsets
            .windows(2)
            .map(|bounds| metric.of(&self.ranks[bounds[0]..bounds[1]]))
            .collect()
    }

    /// A metric's mean over users; NaN of none.
    pub fn mean(&self, metric: Metric) -> f64 {
        mean(&self.values(metric))
    }

    /// Targets that were not ranked, since they were seen and seen items were removed; they count as missed.
    pub fn not_ranked(&self) -> usize {
        self.ranks.iter().filter(|&&rank| rank == 0).count()
    }

    /// All [`metrics`](Self::metrics) with intervals over users; the same bits for any thread count.
    pub fn summary(&self, bootstrap: Bootstrap, threads: &rayon::ThreadPool) -> Summary {
        let metrics = self.metrics();
        let columns: Vec<Vec<f64>> = metrics.iter().map(|&metric| self.values(metric)).collect();
        let estimates = bootstrap.estimates(&columns, threads);
        Summary {
            protocol: self.protocol.clone(),
            metrics: metrics.into_iter().zip(estimates).collect(),
            coverage: self
                .cutoffs
                .iter()
                .copied()
                .zip(self.coverage.iter().copied())
                .collect(),
            bootstrap,
        }
    }

    /// The users whose history has a length in each bucket; the buckets end at these lengths, the last at none.
    ///
    /// Buckets without users are left out, and so is coverage, which is of all users together. `bounds` are taken in
    /// ascending order.
    ///
    /// ```
    /// # use recommender::{evaluate, baseline::Popularity, EvaluateConfig, Holdout, Interactions, Part, Seen, Split, Targets};
    /// let log = Interactions::from_histories(&[vec![0, 1, 2, 3, 1], vec![1, 2, 0], vec![3, 1, 0]], 4);
    /// let split = Split::new(&log, Holdout::LeaveOneOut)?;
    /// let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    /// let config = EvaluateConfig::full_ranking(Seen::Kept, &[2]);
    /// let evaluation = evaluate(&Popularity::fit(&split), &split.cases(Part::Test, Targets::All), &config, &threads)?;
    /// let users: Vec<_> = evaluation.by_length(&[2]).iter().map(|(lengths, bucket)| (lengths.clone(), bucket.users().len())).collect();
    /// assert_eq!(users, [(0..=2, 2), (3..=usize::MAX, 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn by_length(&self, bounds: &[usize]) -> Vec<(RangeInclusive<usize>, Self)> {
        let mut ends = bounds.to_vec();
        ends.sort_unstable();
        ends.dedup();
        ends.retain(|&end| end < usize::MAX);
        let starts = std::iter::once(0).chain(ends.iter().map(|end| end + 1));
        let ends = ends.iter().copied().chain([usize::MAX]);
        starts
            .zip(ends)
            .map(|(start, end)| (start..=end, self.within(&(start..=end))))
            .filter(|(_, bucket)| !bucket.users.is_empty())
            .collect()
    }

    fn within(&self, lengths: &RangeInclusive<usize>) -> Self {
        let mut part = Self {
            protocol: self.protocol.clone(),
            cutoffs: self.cutoffs.clone(),
            users: Vec::new(),
            lengths: Vec::new(),
            offsets: vec![0],
            ranks: Vec::new(),
            coverage: Vec::new(),
        };
        for (at, &length) in self.lengths.iter().enumerate() {
            if lengths.contains(&(length as usize)) {
                part.users.push(self.users[at]);
                part.lengths.push(length);
                part.ranks.extend_from_slice(self.ranks(at));
                part.offsets.push(part.ranks.len());
            }
        }
        part.protocol.users = part.users.len();
        part.protocol.lengths = Some((*lengths.start(), *lengths.end()));
        part
    }
}
