//! Why an evaluation or a comparison was not made.

use thiserror::Error;

use super::ranker::RankerError;

/// An evaluation or comparison that was not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// A setting out of its range.
    #[error("evaluation: {name} is {found}, expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A split that leaves nobody to ask about.
    #[error(
        "evaluation: no user has events in the {part} part of {split}; use a split that holds some out, or a longer log"
    )]
    NoCases {
        /// The part.
        part: String,
        /// The split.
        split: String,
    },
    /// A ranker of another catalogue.
    #[error(
        "evaluation: the ranker scores {ranker} items and the log has {log}; fit or train it on the log it is evaluated on"
    )]
    Catalogue {
        /// Items of the ranker.
        ranker: usize,
        /// Items of the log.
        log: usize,
    },
    /// A score that is no number, or was never written: no rank would be true.
    #[error(
        "evaluation: the score of item {item} for user {user} is NaN or was not written; look for a diverged training or a \
         division by zero"
    )]
    NotANumber {
        /// The user.
        user: u32,
        /// The first such item.
        item: usize,
    },
    /// The ranker failed.
    #[error("evaluation: the ranker failed: {0}")]
    Ranker(#[source] RankerError),
    /// Two evaluations that cannot be paired.
    #[error(
        "the evaluations cannot be paired: {reason}; compare evaluations of one part of one split of one log"
    )]
    Unpaired {
        /// What differs.
        reason: String,
    },
}
