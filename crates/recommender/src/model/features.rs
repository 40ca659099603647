//! What is known about items, as numbers that a model can embed.

use crate::data::ItemFeatures;
use std::collections::BTreeMap;

/// A kind of knowledge about items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureKind {
    /// Categories: genres, departments, whatever the file has of them, but brands.
    #[serde(alias = "categories", alias = "category")]
    Genres,
    /// The brand.
    Brand,
    /// The words of the title, in lower case, that at least two items have.
    Title,
}

/// The features of each item of a catalogue, numbered from 0.
///
/// ```
/// use recommender::model::SideFeatures;
///
/// let features = SideFeatures::from_lists(&[vec![0, 1], vec![], vec![1]]);
/// assert_eq!((features.items(), features.count()), (3, 2));
/// assert_eq!(features.of(0), [0, 1]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideFeatures {
    by_item: Jagged,
    by_feature: Jagged,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Jagged {
    offsets: Vec<usize>,
    numbers: Vec<u32>,
}

impl Jagged {
    fn new<'l>(lists: impl IntoIterator<Item = &'l Vec<u32>>) -> Self {
        let (mut offsets, mut numbers) = (vec![0], Vec::new());
        for list in lists {
            numbers.extend_from_slice(list);
            offsets.push(numbers.len());
        }
        Self { offsets, numbers }
    }

    fn row(&self, row: usize) -> &[u32] {
        &self.numbers[self.offsets[row]..self.offsets[row + 1]]
    }
}

/// What the reader puts before a brand among the categories.
const BRAND: &str = "brand: ";

impl SideFeatures {
    /// The features of these kinds.
    #[must_use]
    pub fn new(items: &ItemFeatures, kinds: &[FeatureKind]) -> Self {
        let words = |item: u32| -> Vec<String> {
            let title = items.title(item).unwrap_or_default().to_lowercase();
            let words = title.split(|c: char| !c.is_alphanumeric());
            words
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        // (kind, name) by item; names of different kinds are different features.
        let named = (0..items.items() as u32).map(|item| {
            let mut named: Vec<(u8, String)> = Vec::new();
            if kinds.contains(&FeatureKind::Title) {
                named.extend(words(item).into_iter().map(|word| (0, word)));
            }
            for &category in items.categories(item) {
                let name = items.category_name(category);
                let kind = if name.starts_with(BRAND) {
                    FeatureKind::Brand
                } else {
                    FeatureKind::Genres
                };
                if kinds.contains(&kind) {
                    named.push((1, name.to_owned()));
                }
            }
            named.sort();
            named.dedup();
            named
        });
        let named: Vec<_> = named.collect();
        let mut counts = BTreeMap::new();
        for name in named.iter().flatten() {
            *counts.entry(name).or_insert(0u32) += 1;
        }
        // A word of one title says no more than the item's own vector.
        let kept = counts
            .into_iter()
            .filter(|((kind, _), count)| *kind > 0 || *count > 1);
        let numbers: BTreeMap<_, u32> = kept.map(|(name, _)| name).zip(0..).collect();
        let numbers = |names: &Vec<_>| {
            let numbers = names.iter().filter_map(|name| numbers.get(name).copied());
            numbers.collect()
        };
        Self::from_lists(&named.iter().map(numbers).collect::<Vec<_>>())
    }

    /// The features of every item as numbers from 0; there are as many as the largest asks for.
    #[must_use]
    pub fn from_lists(lists: &[Vec<u32>]) -> Self {
        let most = lists.iter().flatten().max();
        let mut by_feature = vec![Vec::new(); most.map_or(0, |&most| most as usize + 1)];
        for (item, list) in (0u32..).zip(lists) {
            for &feature in list {
                by_feature[feature as usize].push(item);
            }
        }
        Self {
            by_item: Jagged::new(lists),
            by_feature: Jagged::new(&by_feature),
        }
    }

    /// Items, with features or without.
    #[must_use]
    pub fn items(&self) -> usize {
        self.by_item.offsets.len() - 1
    }

    /// Different features.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_feature.offsets.len() - 1
    }

    /// The features of an item.
    ///
    /// # Panics
    /// When `item` is not in the catalogue, as indexing does.
    #[must_use]
    pub fn of(&self, item: u32) -> &[u32] {
        self.by_item.row(item as usize)
    }

    /// The items that have a feature, in ascending order.
    ///
    /// # Panics
    /// When `feature` is not below [`count`](Self::count), as indexing does.
    #[must_use]
    pub fn items_with(&self, feature: u32) -> &[u32] {
        self.by_feature.row(feature as usize)
    }
}
