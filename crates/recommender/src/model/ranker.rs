//! A trained model among the rankers that can be evaluated.

use super::Scorer;
use crate::evaluate::{Ranker, RankerError};
use crate::prepare::History;
use ndarray::ArrayViewMut2;

/// Batches are evaluated side by side: give the scorer an engine of one thread.
impl Ranker for Scorer<'_> {
    fn items(&self) -> usize {
        self.items.dims().first().copied().unwrap_or(0)
    }

    fn score(
        &self,
        histories: &[History<'_>],
        scores: ArrayViewMut2<'_, f32>,
    ) -> Result<(), RankerError> {
        let histories: Vec<&[u32]> = histories.iter().map(|history| history.items).collect();
        Ok(Scorer::score(self, &histories, scores)?)
    }
}
