//! Headers: which column is the user, the item, the time.

use std::path::Path;

use super::columns::Columns;
use super::records::Records;
use crate::data::column_names::ColumnNames;
use crate::data::error::{LogError, shortened};

/// Delimiters tried on a header, in this order.
pub(super) const DELIMITERS: [char; 4] = [',', '\t', ';', '|'];

const USER_NAMES: &[&str] = &[
    "userid",
    "user",
    "uid",
    "customerid",
    "customer",
    "visitorid",
    "visitor",
    "reviewerid",
    "memberid",
    "accountid",
    "clientid",
    "sessionid",
];
pub(super) const ITEM_NAMES: &[&str] = &[
    "itemid",
    "item",
    "iid",
    "movieid",
    "movie",
    "stockcode",
    "productid",
    "product",
    "parentasin",
    "asin",
    "articleid",
    "newsid",
    "trackid",
    "songid",
    "bookid",
    "businessid",
    "sku",
];
const RATING_NAMES: &[&str] = &["rating", "overall", "stars"];
const TIME_NAMES: &[&str] = &[
    "timestamp",
    "ts",
    "time",
    "unixtime",
    "unixreviewtime",
    "eventtime",
    "datetime",
    "invoicedate",
    "date",
];

/// Where each column of an event stands among these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) user: usize,
    pub(super) item: usize,
    pub(super) time: Option<usize>,
    pub(super) rating: Option<usize>,
}

impl Places {
    /// Finds the wanted names, an empty one standing for the common ones; ratings that nobody named may be missing.
    pub(super) fn find(
        path: &Path,
        line: usize,
        names: &[String],
        wanted: &ColumnNames,
    ) -> Result<Self, LogError> {
        let needed = |role, name: &str, common| {
            find(names, name, common).ok_or_else(|| missing(path, line, names, role, name))
        };
        Ok(Self {
            user: needed("user", &wanted.user, USER_NAMES)?,
            item: needed("item", &wanted.item, ITEM_NAMES)?,
            time: match wanted.time.as_deref() {
                None => None,
                // Nothing but users and items: such a log can only be in time order.
                Some("") if names.len() == 2 => None,
                Some(name) => Some(needed("time", name, TIME_NAMES)?),
            },
            rating: match wanted.rating.as_deref() {
                None => None,
                Some("") => find(names, "", RATING_NAMES),
                Some(name) => Some(needed("rating", name, RATING_NAMES)?),
            },
        })
    }
}

/// Reads the header of a table.
pub(super) fn table(
    records: &mut Records<'_, '_>,
    wanted: &ColumnNames,
) -> Result<Columns, LogError> {
    let names = read_names(records)?;
    let places = Places::find(records.path, records.line, &names, wanted)?;
    Ok(Columns { names, places })
}

/// Reads the header of a RecBole atomic file, `name:type` fields.
pub(super) fn recbole(records: &mut Records<'_, '_>) -> Result<Columns, LogError> {
    let names = read_names(records)?;
    let bare: Vec<String> = names.iter().map(|name| bare(name).to_string()).collect();
    let places = Places::find(records.path, records.line, &bare, &ColumnNames::default());
    let places = places.map_err(|error| error.with_columns(&names))?;
    Ok(Columns { names, places })
}

/// The name of a field `name:type`.
pub(super) fn bare(name: &str) -> &str {
    name.split_once(':').map_or(name, |(bare, _)| bare)
}

/// Whether this header has the columns, under this delimiter.
pub(super) fn has_columns(header: &str, delimiter: char, user: &str, item: &str) -> bool {
    let names: Vec<String> = header
        .split(delimiter)
        .map(|name| name.trim().trim_matches('"').to_string())
        .collect();
    let (user, item) = (
        find(&names, user, USER_NAMES),
        find(&names, item, ITEM_NAMES),
    );
    user.is_some() && item.is_some() && user != item
}

/// The delimiter under which the header has the columns, else the most frequent one in it.
pub(super) fn delimiter(text: &str, user: &str, item: &str) -> char {
    let header = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let fitting = DELIMITERS
        .into_iter()
        .find(|&delimiter| has_columns(header, delimiter, user, item));
    let frequent = || {
        DELIMITERS
            .into_iter()
            .rev()
            .max_by_key(|&delimiter| header.matches(delimiter).count())
    };
    fitting.or_else(frequent).unwrap_or(',')
}

/// Whether a tab-separated line names no item column, as a file without a header.
pub(super) fn names_no_item(line: &str) -> bool {
    let names: Vec<String> = line.split('\t').map(str::to_string).collect();
    find(&names, "", ITEM_NAMES).is_none()
}

/// Whether every field of a tab-separated line is `name:type` with a type of RecBole.
pub(super) fn is_recbole(header: &str) -> bool {
    const TYPES: [&str; 4] = ["token", "token_seq", "float", "float_seq"];
    header.split('\t').all(|field| {
        field
            .split_once(':')
            .is_some_and(|(_, kind)| TYPES.contains(&kind.trim()))
    })
}

pub(super) fn read_names(records: &mut Records<'_, '_>) -> Result<Vec<String>, LogError> {
    if !records.advance()? {
        let expected = "a header line with column names, then one event a line".to_string();
        return Err(LogError::Empty {
            path: records.path.to_path_buf(),
            lines: 0,
            expected,
        });
    }
    Ok(records
        .fields
        .iter()
        .map(|name| name.trim().to_string())
        .collect())
}

pub(super) fn find(names: &[String], wanted: &str, common: &[&str]) -> Option<usize> {
    if !wanted.is_empty() {
        return names.iter().position(|name| name == wanted);
    }
    common
        .iter()
        .find_map(|known| names.iter().position(|name| plain(name) == *known))
}

/// A name without case, spaces, underscores and hyphens.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|character| !matches!(character, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

pub(super) fn missing(
    path: &Path,
    line: usize,
    names: &[String],
    role: &'static str,
    wanted: &str,
) -> LogError {
    let nearest = names
        .iter()
        .map(|name| {
            (
                strsim::normalized_damerau_levenshtein(&plain(wanted), &plain(name)),
                name,
            )
        })
        .filter(|(similarity, _)| !wanted.is_empty() && *similarity >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    LogError::MissingColumn {
        path: path.to_path_buf(),
        line,
        role,
        wanted: (!wanted.is_empty()).then(|| wanted.into()),
        columns: names.iter().map(|name| shortened(name)).collect(),
        nearest: nearest.map(|(_, name)| name.as_str().into()),
        advice: match role {
            "user" => "name the column (user=NAME), or another delimiter or format",
            "item" => "name the column (item=NAME), or another delimiter or format",
            "title" | "category" => "name one of these columns, or leave the name empty",
            "rating" => "name the column (rating=NAME), or leave ratings out (rating=none)",
            _ => "name the column (time=NAME), or read the log in file order (time=none)",
        },
    }
}
