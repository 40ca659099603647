//! Batches of histories for a model.

use super::history::History;

/// Histories end to end with their offsets: the jagged layout of attention, without padding.
#[derive(Debug, Clone, PartialEq)]
pub struct JaggedBatch {
    /// Where each history starts, and the end of the last: `[B + 1]`.
    pub offsets: Vec<usize>,
    /// Item indices, oldest first within a history.
    pub items: Vec<u32>,
    /// Times of the items, where every history has them.
    pub times: Option<Vec<i64>>,
    /// Ratings of the items, where every history has them.
    pub ratings: Option<Vec<f32>>,
}

impl JaggedBatch {
    /// The `longest` most recent events of each history.
    ///
    /// ```
    /// use recommender::History;
    /// use recommender::prepare::JaggedBatch;
    ///
    /// let batch = JaggedBatch::recent(&[History::of(&[3, 1, 4]), History::of(&[]), History::of(&[5])], 2);
    /// assert_eq!((batch.offsets, batch.items), (vec![0, 2, 2, 3], vec![1, 4, 5]));
    /// ```
    pub fn recent(histories: &[History<'_>], longest: usize) -> Self {
        let recent = || histories.iter().map(|history| history.recent(longest));
        let mut offsets = vec![0];
        let mut items = Vec::with_capacity(recent().map(|history| history.len()).sum());
        for history in recent() {
            items.extend_from_slice(history.items);
            offsets.push(items.len());
        }
        let times: Option<Vec<&[i64]>> = recent().map(|history| history.times).collect();
        let ratings: Option<Vec<&[f32]>> = recent().map(|history| history.ratings).collect();
        Self {
            offsets,
            items,
            times: times.map(|parts| parts.concat()),
            ratings: ratings.map(|parts| parts.concat()),
        }
    }
}
