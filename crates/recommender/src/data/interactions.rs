//! A log held as one history per user.

use super::names::Names;
use super::statistics::LogStatistics;

/// An interaction log: for each user the items they interacted with, in time order.
///
/// Users and items are numbered by first appearance; their original tokens are kept. Histories lie end to end in one
/// array (4 bytes an event, 8 more with times, 4 more with ratings), so a log of E events takes O(E) memory whatever the spread of lengths.
///
/// ```
/// use recommender::Interactions;
///
/// let log = Interactions::from_histories(&[vec![0, 1, 2], vec![2, 0]], 3);
/// assert_eq!((log.users(), log.items(), log.events()), (2, 3, 5));
/// assert_eq!(log.history(1), [2, 0]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Interactions {
    offsets: Vec<usize>,
    items: Vec<u32>,
    times: Option<Vec<i64>>,
    ratings: Option<Vec<f32>>,
    user_names: Names,
    item_names: Names,
    checksum: String,
}

impl Interactions {
    /// `offsets` has one entry more than there are users, and every item index has a name.
    pub(crate) fn from_parts(
        offsets: Vec<usize>,
        items: Vec<u32>,
        times: Option<Vec<i64>>,
        user_names: Names,
        item_names: Names,
        checksum: String,
    ) -> Self {
        debug_assert_eq!(offsets.len(), user_names.len() + 1);
        debug_assert_eq!(offsets.last(), Some(&items.len()));
        Self {
            offsets,
            items,
            times,
            ratings: None,
            user_names,
            item_names,
            checksum,
        }
    }

    /// One finite rating an event, or none at all.
    pub(crate) fn with_ratings(self, ratings: Option<Vec<f32>>) -> Self {
        debug_assert!(
            ratings
                .as_ref()
                .is_none_or(|all| all.len() == self.items.len())
        );
        Self { ratings, ..self }
    }

    /// A log without times from histories of item indices, named by their numbers.
    ///
    /// The catalogue has `items` entries, or as many as the largest index asks for when that is more.
    pub fn from_histories(histories: &[Vec<u32>], items: usize) -> Self {
        let mut offsets = vec![0];
        let mut flat = Vec::with_capacity(histories.iter().map(Vec::len).sum());
        for history in histories {
            flat.extend_from_slice(history);
            offsets.push(flat.len());
        }
        let catalogue = flat
            .iter()
            .map(|&item| item as usize + 1)
            .max()
            .unwrap_or(0)
            .max(items);
        let users: Names = (0..histories.len()).map(|user| user.to_string()).collect();
        let names: Names = (0..catalogue).map(|item| item.to_string()).collect();
        let checksum = content_checksum(
            &format!("histories, {catalogue} items"),
            &offsets,
            &flat,
            None,
        );
        Self::from_parts(offsets, flat, None, users, names, checksum)
    }

    /// Number of users.
    pub fn users(&self) -> usize {
        self.user_names.len()
    }

    /// Number of items in the catalogue.
    pub fn items(&self) -> usize {
        self.item_names.len()
    }

    /// Number of interactions.
    pub fn events(&self) -> usize {
        self.items.len()
    }

    /// Item indices of one user in time order; events at the same time keep the order of the file.
    ///
    /// # Panics
    /// When `user` is not below [`users`](Self::users), as indexing does.
    pub fn history(&self, user: usize) -> &[u32] {
        &self.items[self.offsets[user]..self.offsets[user + 1]]
    }

    /// Times of [`history`](Self::history), in the unit of the log (mostly unix seconds); `None` when it has none.
    ///
    /// # Panics
    /// When `user` is not below [`users`](Self::users), as indexing does.
    pub fn times(&self, user: usize) -> Option<&[i64]> {
        let range = self.offsets[user]..self.offsets[user + 1];
        self.times.as_ref().map(|times| &times[range])
    }

    /// Ratings of [`history`](Self::history), all finite; `None` when the log has none.
    ///
    /// # Panics
    /// When `user` is not below [`users`](Self::users), as indexing does.
    pub fn ratings(&self, user: usize) -> Option<&[f32]> {
        let range = self.offsets[user]..self.offsets[user + 1];
        self.ratings.as_ref().map(|ratings| &ratings[range])
    }

    /// Whether events carry a rating.
    pub fn has_ratings(&self) -> bool {
        self.ratings.is_some()
    }

    /// Whether events carry a time.
    pub fn has_times(&self) -> bool {
        self.times.is_some()
    }

    /// All histories, user by user.
    pub fn histories(&self) -> impl ExactSizeIterator<Item = &[u32]> + Clone {
        self.offsets
            .windows(2)
            .map(|bounds| &self.items[bounds[0]..bounds[1]])
    }

    /// The jagged layout itself: where each history starts (`users + 1` entries), and all item indices end to end.
    pub fn jagged(&self) -> (&[usize], &[u32]) {
        (&self.offsets, &self.items)
    }

    /// The item's original token.
    ///
    /// # Panics
    /// When `item` is not below [`items`](Self::items), as indexing does.
    pub fn item_name(&self, item: u32) -> &str {
        self.item_names.get(item as usize)
    }

    /// The user's original token.
    ///
    /// # Panics
    /// When `user` is not below [`users`](Self::users), as indexing does.
    pub fn user_name(&self, user: usize) -> &str {
        self.user_names.get(user)
    }

    /// Length of every history, user by user.
    pub fn lengths(&self) -> Vec<usize> {
        self.offsets
            .windows(2)
            .map(|bounds| bounds[1] - bounds[0])
            .collect()
    }

    /// The events of some users and some items alone, both renumbered without changing their order.
    pub(crate) fn restricted(&self, users: &[bool], items: &[bool], label: &str) -> Self {
        let mut renumbered = vec![0u32; items.len()];
        let mut item_names = Names::default();
        for (item, _) in items.iter().enumerate().filter(|&(_, &kept)| kept) {
            renumbered[item] = item_names.len() as u32;
            item_names.push(self.item_names.get(item));
        }
        let mut offsets = vec![0];
        let mut kept_items = Vec::new();
        let mut times = self.times.as_ref().map(|_| Vec::new());
        let mut ratings = self.ratings.as_ref().map(|_| Vec::new());
        let mut user_names = Names::default();
        for (user, _) in users.iter().enumerate().filter(|&(_, &kept)| kept) {
            user_names.push(self.user_names.get(user));
            for event in self.offsets[user]..self.offsets[user + 1] {
                let item = self.items[event] as usize;
                if items[item] {
                    kept_items.push(renumbered[item]);
                    if let (Some(kept), Some(all)) = (&mut times, &self.times) {
                        kept.push(all[event]);
                    }
                    if let (Some(kept), Some(all)) = (&mut ratings, &self.ratings) {
                        kept.push(all[event]);
                    }
                }
            }
            offsets.push(kept_items.len());
        }
        let label = format!("{label} of {}", self.checksum);
        let checksum = content_checksum(&label, &offsets, &kept_items, times.as_deref());
        Self::from_parts(offsets, kept_items, times, user_names, item_names, checksum)
            .with_ratings(ratings)
    }

    /// Number of events of every item, by item index.
    pub fn item_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.items()];
        for &item in &self.items {
            counts[item as usize] += 1;
        }
        counts
    }

    /// Sizes, lengths, padding waste and share of ties, in one pass.
    pub fn statistics(&self) -> LogStatistics {
        LogStatistics::of(self)
    }

    /// BLAKE3 of what the log came from, in hexadecimal.
    ///
    /// For a file it is of its bytes, after decompression where it was compressed (`b3sum` gives the same); for a
    /// simulated log of its parameters, seed and content; for histories given directly of their content.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }
}

/// BLAKE3 of a label and of histories, for logs that come from no file.
pub(crate) fn content_checksum(
    label: &str,
    offsets: &[usize],
    items: &[u32],
    times: Option<&[i64]>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(label.len() as u64).to_le_bytes());
    hasher.update(label.as_bytes());
    offsets.iter().for_each(|&offset| {
        hasher.update(&(offset as u64).to_le_bytes());
    });
    let mut bytes: Vec<u8> = items.iter().flat_map(|item| item.to_le_bytes()).collect();
    bytes.extend(
        times
            .into_iter()
            .flatten()
            .flat_map(|time| time.to_le_bytes()),
    );
    hasher.update(&bytes);
    hasher.finalize().to_hex().to_string()
}
