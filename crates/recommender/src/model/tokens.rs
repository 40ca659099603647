//! The events of some histories, end to end.

use attention::Layout;
use std::sync::Arc;

/// Histories end to end: what a model encodes in one call.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// `[T]`: rows of the table of item vectors.
    pub ids: Arc<[u32]>,
    /// `[T]`: where an event stands in its history, counted so that the latest event of every history stands at
    /// the model's last place.
    pub places: Arc<[u32]>,
    /// `[B + 1]`: history b takes tokens `offsets[b]..offsets[b + 1]`.
    pub offsets: Arc<[usize]>,
}

impl Tokens {
    /// Histories of at most `longest` events each.
    pub fn new<'h>(histories: impl IntoIterator<Item = &'h [u32]>, longest: usize) -> Self {
        let (mut ids, mut places, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        for history in histories {
            let history = &history[history.len().saturating_sub(longest)..];
            ids.extend_from_slice(history);
            places.extend((longest - history.len()..longest).map(|place| place as u32));
            offsets.push(ids.len());
        }
        Self {
            ids: ids.into(),
            places: places.into(),
            offsets: offsets.into(),
        }
    }

    /// The layout that attention sees.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout::Jagged {
            q: self.offsets.clone(),
            k: self.offsets.clone(),
        }
    }
}
