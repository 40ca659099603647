//! What is ranked, and how it is cut.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What becomes of items that are in the user's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// They are ranked as any other.
    Kept,
    /// They are not ranked; a target among them counts as missed.
    Removed,
}

/// How negatives of a sampled protocol are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Each unseen item alike.
    Uniform,
    /// In proportion to the item's events in the whole log; items without any are never drawn.
    Popularity,
}

/// The items that a target is ranked among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Candidates {
    /// All of them: full ranking.
    Catalogue {
        /// What becomes of seen items.
        seen: Seen,
    },
    /// The targets and a sample of distinct items that are neither targets nor in the history.
    ///
    /// Only to reproduce published numbers: sampled metrics do not order models as full ranking does (Krichene & Rendle,
    /// KDD 2020).
    Sampled {
        /// Negatives a user; all unseen items where there are fewer.
        negatives: usize,
        /// How they are drawn.
        by: Sampling,
        /// Seed; each user draws from a stream of its own.
        seed: u64,
    },
}

impl fmt::Display for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalogue { seen: Seen::Kept } => f.write_str("full ranking, seen items kept"),
            Self::Catalogue {
                seen: Seen::Removed,
            } => f.write_str("full ranking, seen items removed"),
            Self::Sampled {
                negatives,
                by,
                seed,
            } => write!(
                f,
                "SAMPLED among {negatives} unseen items drawn {} (seed {seed}), not comparable with full ranking",
                match by {
                    Sampling::Uniform => "uniformly",
                    Sampling::Popularity => "by popularity",
                }
            ),
        }
    }
}

/// Settings of an evaluation. There is no default: what is done with seen items is always chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EvaluateConfig {
    /// What targets are ranked among.
    pub candidates: Candidates,
    /// The K of HR@K, NDCG@K and coverage@K.
    pub cutoffs: Vec<usize>,
    /// Histories scored at once; the scores of a batch take 4 · batch · items bytes a thread.
    pub batch: usize,
}

impl EvaluateConfig {
    /// Full ranking with these K, 64 histories at once.
    pub fn full_ranking(seen: Seen, cutoffs: &[usize]) -> Self {
        Self {
            candidates: Candidates::Catalogue { seen },
            cutoffs: cutoffs.to_vec(),
            batch: 64,
        }
    }
}
