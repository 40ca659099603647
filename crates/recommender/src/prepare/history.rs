//! One user's past, as a ranker or a model sees it.

/// Events of one user in time order; a view, so that no split copies the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History<'a> {
    /// Item indices, oldest first.
    pub items: &'a [u32],
    /// Times of the items in the unit of the log; `None` when it has none.
    pub times: Option<&'a [i64]>,
    /// Ratings of the items; `None` when the log has none.
    pub ratings: Option<&'a [f32]>,
}

impl<'a> From<&'a [u32]> for History<'a> {
    fn from(items: &'a [u32]) -> Self {
        Self::of(items)
    }
}

impl<'a> History<'a> {
    /// A history without times and ratings.
    pub fn of(items: &'a [u32]) -> Self {
        Self {
            items,
            times: None,
            ratings: None,
        }
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The `longest` most recent events, all of them where there are fewer.
    ///
    /// ```
    /// use recommender::History;
    ///
    /// assert_eq!(History::of(&[4, 1, 7]).recent(2).items, [1, 7]);
    /// ```
    pub fn recent(self, longest: usize) -> Self {
        let from = self.len().saturating_sub(longest);
        Self {
            items: &self.items[from..],
            times: self.times.map(|times| &times[from..]),
            ratings: self.ratings.map(|ratings| &ratings[from..]),
        }
    }
}
