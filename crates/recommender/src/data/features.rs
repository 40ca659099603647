//! What is known about items beside who chose them.

use std::borrow::Cow;
use std::collections::HashMap;

use super::interactions::Interactions;
use super::names::Names;

/// Titles and categories of the items of one log, where a file described them.
///
/// Categories are everything an item may share with others: genres, departments, brands (as `brand: NAME`). They are
/// numbered by first appearance, so that a model can embed them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ItemFeatures {
    titles: Names,
    offsets: Vec<usize>,
    categories: Vec<u32>,
    category_names: Names,
    described: usize,
    unknown: usize,
}

impl ItemFeatures {
    /// Number of items, described or not: those of the log.
    pub fn items(&self) -> usize {
        self.titles.len()
    }

    /// The title; `None` where the file has none for it.
    ///
    /// # Panics
    /// When `item` is not in the catalogue, as indexing does.
    pub fn title(&self, item: u32) -> Option<&str> {
        Some(self.titles.get(item as usize)).filter(|title| !title.is_empty())
    }

    /// Numbers of the categories, in the order of the file.
    ///
    /// # Panics
    /// When `item` is not in the catalogue, as indexing does.
    pub fn categories(&self, item: u32) -> &[u32] {
        let item = item as usize;
        &self.categories[self.offsets[item]..self.offsets[item + 1]]
    }

    /// Number of different categories.
    pub fn category_count(&self) -> usize {
        self.category_names.len()
    }

    /// Name of a category.
    ///
    /// # Panics
    /// When `category` is not below [`category_count`](Self::category_count), as indexing does.
    pub fn category_name(&self, category: u32) -> &str {
        self.category_names.get(category as usize)
    }

    /// Items of the log that the file has a line for.
    pub fn described(&self) -> usize {
        self.described
    }

    /// Lines of the file about items that are not in the log; they are left out.
    pub fn unknown(&self) -> usize {
        self.unknown
    }
}

/// Gathers what lines say about the items of a log.
pub(super) struct Collect<'l> {
    index: HashMap<&'l str, usize>,
    items: Vec<Option<(String, Vec<u32>)>>,
    category_index: HashMap<String, u32>,
    category_names: Names,
    unknown: usize,
}

impl<'l> Collect<'l> {
    pub(super) fn new(log: &'l Interactions) -> Self {
        Self {
            index: (0..log.items())
                .map(|item| (log.item_name(item as u32), item))
                .collect(),
            items: vec![None; log.items()],
            category_index: HashMap::new(),
            category_names: Names::default(),
            unknown: 0,
        }
    }

    /// One line; empty and repeated categories are left out.
    pub(super) fn item<'c>(
        &mut self,
        name: &str,
        title: &str,
        categories: impl Iterator<Item = Cow<'c, str>>,
    ) {
        let Some(&item) = self.index.get(name) else {
            self.unknown += 1;
            return;
        };
        if self.items[item].is_some() {
            return;
        }
        let mut numbers = Vec::new();
        for category in categories.filter(|category| !category.is_empty()) {
            let number = match self.category_index.get(category.as_ref()) {
                Some(&number) => number,
                None => {
                    let number = self.category_names.len() as u32;
                    self.category_names.push(&category);
                    self.category_index.insert(category.into_owned(), number);
                    number
                }
            };
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        self.items[item] = Some((title.to_string(), numbers));
    }

    pub(super) fn finish(self) -> ItemFeatures {
        let mut features = ItemFeatures {
            offsets: vec![0],
            category_names: self.category_names,
            unknown: self.unknown,
            described: self.items.iter().flatten().count(),
            ..ItemFeatures::default()
        };
        for item in self.items {
            let (title, categories) = item.unwrap_or_default();
            features.titles.push(&title);
            features.categories.extend(categories);
            features.offsets.push(features.categories.len());
        }
        features
    }
}
