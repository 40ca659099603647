//! Symmetric counts of items near each other in histories.

use rayon::prelude::*;

use super::sparse::Csr;
use crate::data::Interactions;

/// Counts ordered pairs of events of one user at most `window` positions apart: symmetric, the diagonal included (an item
/// bought twice within the window counts twice, once from either event).
///
/// O(events · window) time on the current rayon pool; memory O(nonzeros). Counts are integers, and stop at 2³² - 1.
pub(super) fn cooccurrence(log: &Interactions, window: usize) -> Csr<u32> {
    let (offsets, items) = log.jagged();
    let occurrences = Occurrences::of(log);
    let rows = (0..log.items())
        .into_par_iter()
        .map_init(
            || Counter {
                counts: vec![0; log.items()],
                touched: Vec::new(),
            },
            |counter, item| {
                for &(event, user) in occurrences.of_item(item) {
                    let from = event.saturating_sub(window).max(offsets[user as usize]);
                    let to = (event + window + 1).min(offsets[user as usize + 1]);
                    counter.add(&items[from..event]);
                    counter.add(&items[event + 1..to]);
                }
                counter.take()
            },
        )
        .collect();
    Csr::from_rows(log.items(), rows)
}

/// Where each item occurs, item by item: the event and its user.
struct Occurrences {
    offsets: Vec<usize>,
    events: Vec<(usize, u32)>,
}

impl Occurrences {
    fn of(log: &Interactions) -> Self {
        let (bounds, items) = log.jagged();
        let mut offsets = vec![0usize; log.items() + 1];
        for &item in items {
            offsets[item as usize + 1] += 1;
        }
        for item in 1..offsets.len() {
            offsets[item] += offsets[item - 1];
        }
        let mut next = offsets.clone();
        let mut events = vec![(0, 0); items.len()];
        for user in 0..log.users() {
            for event in bounds[user]..bounds[user + 1] {
                let slot = &mut next[items[event] as usize];
                events[*slot] = (event, user as u32);
                *slot += 1;
            }
        }
        Self { offsets, events }
    }

    fn of_item(&self, item: usize) -> &[(usize, u32)] {
        &self.events[self.offsets[item]..self.offsets[item + 1]]
    }
}

/// A row of counts, dense while it is counted.
struct Counter {
    counts: Vec<u32>,
    touched: Vec<u32>,
}

impl Counter {
    fn add(&mut self, neighbours: &[u32]) {
        for &item in neighbours {
            let count = &mut self.counts[item as usize];
            if *count == 0 {
                self.touched.push(item);
            }
            *count = count.saturating_add(1);
        }
    }

    fn take(&mut self) -> Vec<(u32, u32)> {
        self.touched.sort_unstable();
        self.touched
            .drain(..)
            .map(|item| (item, std::mem::take(&mut self.counts[item as usize])))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stay_within_the_window_and_the_history() {
        let log = Interactions::from_histories(&[vec![0, 1, 2, 0], vec![2, 2]], 4);
        // Window 2 in the first history: 0-1, 0-2, 1-2, 1-0', 2-0'; 0 and 0' are three apart. Second history: 2-2.
        let counts = cooccurrence(&log, 2);
        let rows = vec![
            vec![(1, 2), (2, 2)],
            vec![(0, 2), (2, 1)],
            vec![(0, 2), (1, 1), (2, 2)],
            vec![],
        ];
        assert_eq!(counts, Csr::from_rows(4, rows));
        assert_eq!(
            cooccurrence(&log, 3).row(0),
            (&[0, 1, 2][..], &[2, 2, 2][..])
        );
        assert_eq!(counts.transpose(), counts);
    }
}
