//! Names of the columns of an event, as written in the options of a format.

use super::format::FormatError;

/// Which column is the user, the item, the time, the rating.
///
/// An empty name stands for the common ones (`user_id`, `CustomerID`, `visitorid`, `reviewerID`, ...; `item_id`, `movieId`,
/// `StockCode`, `asin`, ...; `timestamp`, `ts`, `time`, `unixReviewTime`, ...; `rating`, `overall`, `stars`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnNames {
    /// Name of the user column.
    pub user: String,
    /// Name of the item column.
    pub item: String,
    /// Name of the time column; `None`: the file is in time order.
    pub time: Option<String>,
    /// Name of the rating column; `None`: ratings are left out. Under the common names it may be missing.
    pub rating: Option<String>,
}

impl Default for ColumnNames {
    /// The common names.
    fn default() -> Self {
        Self {
            user: String::new(),
            item: String::new(),
            time: Some(String::new()),
            rating: Some(String::new()),
        }
    }
}

const EXPECTED: &str = "csv, tsv or table with user=, item=, time=, rating= (or time=none, rating=none) and delimiter=, or jsonl \
                        or parquet without a delimiter, e.g. csv:user=CustomerID,item=StockCode,time=ts";

impl ColumnNames {
    /// The options that differ from the common names, as `key=value`.
    pub(super) fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        for (key, value) in [("user", &self.user), ("item", &self.item)] {
            if !value.is_empty() {
                options.push(format!("{key}={}", escaped(value)));
            }
        }
        for (key, value) in [("time", &self.time), ("rating", &self.rating)] {
            match value.as_deref() {
                None => options.push(format!("{key}=none")),
                Some("") => {}
                // A column that is really called so keeps its name.
                Some("none") => options.push(format!("{key}=\\none")),
                Some(column) => options.push(format!("{key}={}", escaped(column))),
            }
        }
        options
    }

    /// Reads options; those that are not about columns go to `other`, which says whether it knows the key.
    pub(super) fn parse(
        format: &str,
        options: &str,
        mut other: impl FnMut(&str, &str) -> Result<bool, FormatError>,
    ) -> Result<Self, FormatError> {
        let mut names = Self::default();
        for option in split_escaped(options) {
            let (key, raw) = option
                .split_once('=')
                .ok_or_else(|| refused(format, format!("option `{option}` has no value")))?;
            let value = unescaped(raw);
            match key {
                "user" => names.user = value,
                "item" => names.item = value,
                "time" => names.time = (raw != "none").then_some(value),
                "rating" => names.rating = (raw != "none").then_some(value),
                _ if other(key, &value)? => {}
                _ => return Err(refused(format, format!("no option `{key}`"))),
            }
        }
        Ok(names)
    }
}

pub(super) fn refused(format: &str, problem: String) -> FormatError {
    FormatError {
        found: format.to_string(),
        problem,
        expected: EXPECTED,
    }
}

pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,")
}

fn unescaped(value: &str) -> String {
    let mut characters = value.chars();
    let mut plain = String::with_capacity(value.len());
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

/// Splits at the commas that no backslash precedes.
fn split_escaped(options: &str) -> Vec<&str> {
    let (mut parts, mut start, mut skip) = (Vec::new(), 0, false);
    for (at, character) in options.char_indices() {
        match character {
            _ if skip => skip = false,
            '\\' => skip = true,
            ',' => {
                parts.push(&options[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&options[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}
