//! What can be evaluated.

use ndarray::ArrayViewMut2;

use crate::prepare::History;

/// Why a ranker could not score; whatever its own error type is.
pub type RankerError = Box<dyn std::error::Error + Send + Sync>;

/// Scores every item of a catalogue after a history: a popularity count, a neighbourhood, a trained model.
pub trait Ranker: Sync {
    /// Items in the catalogue, which are also the columns of `scores`.
    fn items(&self) -> usize;

    /// Writes one row of scores a history, higher being better: `[B, items]`.
    ///
    /// Every entry must be written, with any number or infinity but no NaN. Histories are whole, oldest event first and
    /// possibly empty; a ranker with a limit takes the most recent events itself ([`History::recent`]). Calls for
    /// different batches run side by side, and rows must not depend on what else is in the batch.
    ///
    /// # Errors
    /// Whatever keeps the ranker from scoring; it ends the evaluation.
    fn score(
        &self,
        histories: &[History<'_>],
        scores: ArrayViewMut2<'_, f32>,
    ) -> Result<(), RankerError>;
}
