//! Files that describe items.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::content;
use super::header::{self, ITEM_NAMES, find, missing};
use super::json_lines::Objects;
use super::records::{Records, Separator};
use crate::data::Interactions;
use crate::data::error::LogError;
use crate::data::features::{Collect, ItemFeatures};

const TITLE_NAMES: &[&str] = &[
    "title",
    "movietitle",
    "itemname",
    "productname",
    "name",
    "headline",
    "description",
];
const CATEGORY_NAMES: &[&str] = &[
    "genres",
    "genre",
    "class",
    "maincategory",
    "category",
    "subcategory",
    "categories",
    "department",
];
const BRAND_NAMES: &[&str] = &["brand", "store", "manufacturer"];
const NEWS: [&str; 8] = [
    "newsid",
    "category",
    "subcategory",
    "title",
    "abstract",
    "url",
    "titleentities",
    "abstractentities",
];

/// Which column of an item file is what; an empty name stands for the common ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ItemColumns {
    /// The item's token, as in the log.
    pub item: String,
    /// What a person would call it.
    pub title: String,
    /// Categories, with `|` between where there are several.
    pub category: String,
}

/// Reads what a file says about the items of a log.
///
/// The layout is told from the content: a RecBole `.item` file, `movies.dat` of MovieLens (`id::title::genres`), `news.tsv`
/// of MIND, JSON lines as Amazon's metadata, or a table with a header. Gzip is recognised. Items of the log without a line
/// have no title and no category; lines about other items are counted and left out; of several lines about one item the
/// first counts.
///
/// # Errors
/// [`LogError`] as [`read_log`](super::read_log); an item column must be there, titles and categories need not.
///
/// ```
/// use recommender::data::{ItemColumns, read_items};
/// use recommender::{LogFormat, read_log};
///
/// let folder = tempfile::tempdir()?;
/// let (log, items) = (folder.path().join("log.csv"), folder.path().join("items.csv"));
/// std::fs::write(&log, "user,item,time\nann,7,1\nann,9,2\n")?;
/// std::fs::write(&items, "item,title,genres\n9,Heat,Crime|Drama\n1,Speed,Action\n")?;
/// let log = read_log(&log, &LogFormat::Auto)?;
/// let features = read_items(&items, &ItemColumns::default(), &log)?;
/// assert_eq!((features.title(0), features.title(1)), (None, Some("Heat")));
/// assert_eq!(features.category_name(features.categories(1)[1]), "Drama");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_items(
    path: &Path,
    columns: &ItemColumns,
    log: &Interactions,
) -> Result<ItemFeatures, LogError> {
    let content = content::load(path, content::read_bytes(path)?)?;
    let text = content::utf8(path, &content.bytes)?;
    let mut collect = Collect::new(log);
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    if first.trim_start().starts_with('{') {
        read_objects(Objects::new(path, text), columns, &mut collect)?;
    } else if first.split("::").count() == 3 {
        let records = Records::new(path, text, Separator::Text("::"));
        read_rows(
            records,
            &Layout::fixed(&["itemid", "title", "genres"]),
            &mut collect,
        )?;
    } else if first.split('\t').count() == NEWS.len() && header::names_no_item(first) {
        let records = Records::new(path, text, Separator::Text("\t"));
        read_rows(records, &Layout::fixed(&NEWS), &mut collect)?;
    } else if header::is_recbole(first) {
        let mut records = Records::new(path, text, Separator::Text("\t"));
        let names = header::read_names(&mut records)?;
        let bare = |name: &String| header::bare(name).to_string();
        let layout = Layout {
            separator: ' ',
            ..Layout::named(&records, names.iter().map(bare).collect(), columns)?
        };
        read_rows(records, &layout, &mut collect)?;
    } else {
        let delimiter = header::delimiter(text, "", &columns.item);
        let mut records = Records::new(path, text, Separator::Quoted(delimiter));
        let names = header::read_names(&mut records)?;
        let layout = Layout::named(&records, names, columns)?;
        read_rows(records, &layout, &mut collect)?;
    }
    Ok(collect.finish())
}

/// Which fields of a row are what.
struct Layout {
    item: usize,
    title: Option<usize>,
    categories: Vec<usize>,
    brand: Option<usize>,
    separator: char,
}

impl Layout {
    fn named(
        records: &Records<'_, '_>,
        names: Vec<String>,
        columns: &ItemColumns,
    ) -> Result<Self, LogError> {
        let place = |wanted: &str, common, role| match find(&names, wanted, common) {
            None if !wanted.is_empty() => {
                Err(missing(records.path, records.line, &names, role, wanted))
            }
            found => Ok(found),
        };
        let item = find(&names, &columns.item, ITEM_NAMES)
            .ok_or_else(|| missing(records.path, records.line, &names, "item", &columns.item))?;
        let categories = match place(&columns.category, &[], "category")? {
            Some(named) => vec![named],
            None => CATEGORY_NAMES
                .iter()
                .filter_map(|name| find(&names, "", &[name]))
                .collect(),
        };
        Ok(Self {
            item,
            title: place(&columns.title, TITLE_NAMES, "title")?,
            categories,
            brand: find(&names, "", BRAND_NAMES),
            separator: '|',
        })
    }

    fn fixed(names: &[&str]) -> Self {
        let place = |common: &[&str]| names.iter().position(|name| common.contains(name));
        Self {
            item: 0,
            title: place(&["title"]),
            categories: CATEGORY_NAMES
                .iter()
                .filter_map(|name| place(&[name]))
                .collect(),
            brand: None,
            separator: '|',
        }
    }
}

fn read_rows(
    mut records: Records<'_, '_>,
    layout: &Layout,
    collect: &mut Collect<'_>,
) -> Result<(), LogError> {
    while records.advance()? {
        let field = |at: usize| records.fields.get(at).map_or("", |text| text.trim());
        let categories = layout
            .categories
            .iter()
            .flat_map(|&at| field(at).split(layout.separator))
            .map(|name| Cow::Borrowed(name.trim()));
        let brand = layout.brand.map_or("", field);
        let title = layout.title.map_or("", field);
        collect.item(field(layout.item), title, categories.chain(branded(brand)));
    }
    Ok(())
}

fn read_objects(
    mut objects: Objects<'_, '_>,
    columns: &ItemColumns,
    collect: &mut Collect<'_>,
) -> Result<(), LogError> {
    while let Some(object) = objects.next()? {
        // Objects of one file have different keys: what is there is looked up in each.
        let keys: Vec<String> = object.keys().cloned().collect();
        let layout = Layout::named(&objects.records, keys, columns)?;
        let values: Vec<Vec<String>> = object.values().map(texts).collect();
        let first = |at: usize| values[at].first().map_or("", String::as_str);
        let categories = layout
            .categories
            .iter()
            .flat_map(|&at| &values[at])
            .map(|name| Cow::Borrowed(name.trim()));
        let brand = layout.brand.map_or("", first);
        let title = layout.title.map_or("", first);
        collect.item(first(layout.item), title, categories.chain(branded(brand)));
    }
    Ok(())
}

fn branded(brand: &str) -> impl Iterator<Item = Cow<'_, str>> {
    (!brand.is_empty())
        .then(|| Cow::Owned(format!("brand: {brand}")))
        .into_iter()
}

/// The texts in a value, however deep its lists are.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.trim().to_string()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
