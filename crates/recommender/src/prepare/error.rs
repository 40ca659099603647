//! Why a log cannot be prepared as asked.

use thiserror::Error;

use super::leakage::Leakage;

/// A preparation that the log does not allow.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// A split by time of a log without times.
    #[error("{split} needs the time of every event and the log has none; use leave-one-out")]
    NoTimes {
        /// The split asked for.
        split: &'static str,
    },
    /// Shares of a global split that are out of order.
    #[error(
        "a split by global time with shares {validation} and {test}: expected 0 < validation <= test < 1, e.g. 0.8 and 0.9"
    )]
    Shares {
        /// Share of events before validation.
        validation: f64,
        /// Share of events before the test.
        test: f64,
    },
    /// Times of a global split that are out of order.
    #[error(
        "a split by global time with validation from {validation_from} and test from {test_from}: expected validation not \
         to begin after the test"
    )]
    Order {
        /// First time that is not trained on.
        validation_from: i64,
        /// First time that tests.
        test_from: i64,
    },
    /// A split that would let training see what it must not.
    #[error("{split} would leak: {leakage}; check that the times of the log are in order")]
    Leaks {
        /// The split.
        split: String,
        /// What was found.
        leakage: Leakage,
    },
}
