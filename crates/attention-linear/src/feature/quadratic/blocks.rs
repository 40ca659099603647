//! Which queries end in which block of keys.

use crate::feature::map::CHUNK;
use crate::feature::plan::History;
use std::ops::Range;

/// Queries that are answered together: at most [`CHUNK`], whose last keys lie in one block.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) queries: Range<usize>,
    /// Where the keys of each end.
    ends: [usize; CHUNK],
}

impl Run {
    /// Queries that all see the same keys.
    pub(super) fn alike(queries: Range<usize>, end: usize) -> Self {
        Self {
            queries,
            ends: [end; CHUNK],
        }
    }

    /// How many of the keys from `first` on each query sees, at most `most`.
    pub(super) fn seen(&self, first: usize, most: usize) -> [usize; CHUNK] {
        self.ends.map(|end| end.saturating_sub(first).min(most))
    }

    /// Where the keys of its last query end.
    pub(super) fn end(&self) -> usize {
        let count = self.queries.len();
        self.ends[..count].last().copied().unwrap_or(0)
    }

    /// Queries.
    pub(super) fn count(&self) -> usize {
        self.queries.len()
    }
}

/// Blocks of keys that some query sees.
pub(super) fn count(history: &History<'_>) -> usize {
    history.keys().div_ceil(CHUNK)
}

/// The keys of a block.
pub(super) fn keys(history: &History<'_>, block: usize) -> Range<usize> {
    block * CHUNK..((block + 1) * CHUNK).min(history.keys())
}

/// The queries whose last key lies in a block, in order.
pub(super) fn runs<'h>(
    history: &'h History<'_>,
    block: usize,
) -> impl DoubleEndedIterator<Item = Run> + 'h {
    let queries = first(history, block * CHUNK)..first(history, (block + 1) * CHUNK);
    let count = queries.len().div_ceil(CHUNK);
    (0..count).map(move |n| {
        let begin = queries.start + n * CHUNK;
        let queries = begin..queries.end.min(begin + CHUNK);
        let mut ends = [0; CHUNK];
        let pairs = queries.clone().zip(&mut ends);
        pairs.for_each(|(i, end)| *end = history.end(i));
        Run { queries, ends }
    })
}

/// The first query that sees more than so many keys.
pub(super) fn first(history: &History<'_>, keys: usize) -> usize {
    let (mut low, mut high) = (0, history.mask.queries());
    while low < high {
        let middle = low + (high - low) / 2;
        if history.end(middle) > keys {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}
