//! How item embeddings are learnt.

use std::fmt;

use thiserror::Error;

/// Largest co-occurrence window: work and, until the matrix is dense, memory grow in proportion to it.
pub const MAX_WINDOW: usize = 256;

/// Parameters of [`learn_item_embeddings`](crate::learn_item_embeddings).
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingConfig {
    /// D, the length of an item vector; at most the number of items.
    pub dimension: usize,
    /// Events at most this many positions apart in a history co-occur; 1 to [`MAX_WINDOW`].
    pub window: usize,
    /// k ≥ 1: PMI is lowered by ln k before its positive part is taken (k negative samples of skip-gram).
    pub shift: f64,
    /// α in (0, 1]: context counts are raised to it (0.75 in Levy, Goldberg & Dagan 2015, section 3.2).
    pub context_smoothing: f64,
    /// Columns of the random range beyond D.
    pub oversampling: usize,
    /// Power iterations of the range finder; each is two passes over the matrix.
    ///
    /// PPMI spectra decay slowly: at D = 64 the worst of the 64 singular values (the last ones) came out some 9 % low after
    /// two iterations and 4 % after four, on three public logs.
    pub power_iterations: usize,
    /// Seed of the random range.
    pub seed: u64,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self {
            dimension: 64,
            window: 10,
            shift: 1.0,
            context_smoothing: 0.75,
            oversampling: 16,
            power_iterations: 4,
            seed: 1,
        }
    }
}

/// A parameter under which no embedding can be learnt.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("item embeddings: {parameter} is {found}, expected {expected}")]
pub struct EmbeddingError {
    /// The parameter's name.
    pub parameter: &'static str,
    /// Its value.
    pub found: String,
    /// What it may be.
    pub expected: String,
}

impl EmbeddingConfig {
    /// Checks every parameter for a catalogue of this many items.
    ///
    /// # Errors
    /// The first parameter out of its range.
    pub fn validate(&self, items: usize) -> Result<(), EmbeddingError> {
        let refuse = |parameter, found: &dyn fmt::Display, expected: &str| {
            Err(EmbeddingError {
                parameter,
                found: found.to_string(),
                expected: expected.to_string(),
            })
        };
        if !(1..=items).contains(&self.dimension) {
            return refuse(
                "dimension",
                &self.dimension,
                &format!("1 to the number of items ({items})"),
            );
        }
        if !(1..=MAX_WINDOW).contains(&self.window) {
            return refuse("window", &self.window, &format!("1 to {MAX_WINDOW}"));
        }
        if !(self.shift >= 1.0 && self.shift.is_finite()) {
            return refuse("shift", &self.shift, "a finite number from 1 (no shift)");
        }
        if !(self.context_smoothing > 0.0 && self.context_smoothing <= 1.0) {
            return refuse(
                "context_smoothing",
                &self.context_smoothing,
                "above 0, at most 1",
            );
        }
        Ok(())
    }
}
