//! The formats a log may have, and their short names for configuration files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::column_names::{ColumnNames, escaped, refused};

/// How a log file is laid out; gzip is recognised in any of them.
///
/// Parses from and prints to a short string:
///
/// | string | layout |
/// |---|---|
/// | `auto` | told from the file name and the first lines |
/// | `csv`, `tsv`, `table` | named columns; `csv:user=CustomerID,item=StockCode,time=ts` names them, `rating=` too, and `time=none` and `rating=none` leave these out |
/// | `jsonl` | a JSON object a line, keys as columns: `jsonl:user=reviewerID,item=asin,time=unixReviewTime` |
/// | `parquet` | named columns, `parquet:user=...`; needs the feature `parquet` of this crate |
/// | `movielens-data` | `user item rating time`, tab between (`u.data`) |
/// | `movielens-dat` | `user::item::rating::time` (`ratings.dat`) |
/// | `movielens-csv` | header `userId,movieId,rating,timestamp` |
/// | `amazon-ratings` | `user,item,rating,time` without a header (Amazon reviews 2014, "ratings only") |
/// | `amazon-ratings-2018` | `item,user,rating,time` without a header |
/// | `recbole` | typed header `user_id:token`, `item_id:token`, `timestamp:float` (`.inter`) |
/// | `mind` | `behaviors.tsv` of MIND: a click history, and the clicks among what was shown |
/// | `pairs` | `user item` a line, in time order |
/// | `sequences` | `user item item ...` a line, in time order |
///
/// ```
/// use recommender::LogFormat;
///
/// let format: LogFormat = "csv:user=who,item=what,time=none".parse()?;
/// let LogFormat::Table { delimiter, columns } = &format else { unreachable!() };
/// assert_eq!((*delimiter, columns.user.as_str(), columns.time.as_deref()), (Some(','), "who", None));
/// assert_eq!(format.to_string().parse(), Ok(format));
/// # Ok::<(), recommender::FormatError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum LogFormat {
    /// Told from the file name and the first lines.
    #[default]
    Auto,
    /// A header and named columns, fields quoted as in RFC 4180.
    Table {
        /// Between fields; `None`: the one of comma, tab, semicolon and bar that splits the header into the columns.
        delimiter: Option<char>,
        /// Which column is what.
        columns: ColumnNames,
    },
    /// A JSON object a line; its keys are the columns.
    JsonLines(ColumnNames),
    /// Apache Parquet.
    Parquet(ColumnNames),
    /// `user item rating time`, tab between (`u.data` of MovieLens 100K).
    MovieLensData,
    /// `user::item::rating::time` (`ratings.dat` of MovieLens 1M and 10M).
    MovieLensDat,
    /// Header `userId,movieId,rating,timestamp` (`ratings.csv` of MovieLens 20M and later).
    MovieLensCsv,
    /// `user,item,rating,time` without a header (Amazon reviews 2014).
    AmazonRatings,
    /// `item,user,rating,time` without a header (Amazon reviews 2018).
    AmazonRatings2018,
    /// An atomic `.inter` file of RecBole: tab-separated, header fields `name:type`.
    RecBole,
    /// `behaviors.tsv` of MIND; its click histories have no times, and so the log has none.
    Mind,
    /// `user item` a line, in time order.
    Pairs,
    /// `user item item ...` a line, in time order.
    Sequences,
}

/// A format string that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("log format `{found}`: {problem}; expected {expected}")]
pub struct FormatError {
    /// The string.
    pub found: String,
    /// What is wrong with it.
    pub problem: String,
    /// What it may be.
    pub expected: &'static str,
}

const PLAIN: [(&str, LogFormat); 10] = [
    ("auto", LogFormat::Auto),
    ("movielens-data", LogFormat::MovieLensData),
    ("movielens-dat", LogFormat::MovieLensDat),
    ("movielens-csv", LogFormat::MovieLensCsv),
    ("amazon-ratings", LogFormat::AmazonRatings),
    ("amazon-ratings-2018", LogFormat::AmazonRatings2018),
    ("recbole", LogFormat::RecBole),
    ("mind", LogFormat::Mind),
    ("pairs", LogFormat::Pairs),
    ("sequences", LogFormat::Sequences),
];
const DELIMITERS: [(&str, char); 7] = [
    ("comma", ','),
    ("tab", '\t'),
    ("semicolon", ';'),
    ("bar", '|'),
    ("space", ' '),
    ("colon", ':'),
    ("equals", '='),
];
const NAMES: &str = "auto, csv, tsv, table, jsonl, parquet, movielens-data, movielens-dat, movielens-csv, amazon-ratings, \
                     amazon-ratings-2018, recbole, mind, pairs or sequences";

impl LogFormat {
    /// A table whose delimiter and columns are found from its header.
    pub fn table() -> Self {
        Self::table_with(None)
    }

    /// A table with this delimiter whose columns are found from its header.
    pub(crate) fn table_with(delimiter: Option<char>) -> Self {
        Self::Table {
            delimiter,
            columns: ColumnNames::default(),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Vec::new();
        let (name, columns) = match self {
            Self::Table { delimiter, columns } => {
                let name = match delimiter {
                    Some(',') => "csv",
                    Some('\t') => "tsv",
                    None => "table",
                    Some(other) => {
                        let named = DELIMITERS.iter().find(|(_, character)| character == other);
                        let written = named.map_or_else(
                            || escaped(&other.to_string()),
                            |(name, _)| name.to_string(),
                        );
                        options.push(format!("delimiter={written}"));
                        "table"
                    }
                };
                (name, columns)
            }
            Self::JsonLines(columns) => ("jsonl", columns),
            Self::Parquet(columns) => ("parquet", columns),
            plain => {
                let named = PLAIN.iter().find(|(_, format)| format == plain);
                return f.write_str(named.map_or("auto", |(name, _)| name));
            }
        };
        options.extend(columns.options());
        let separator = if options.is_empty() { "" } else { ":" };
        write!(f, "{name}{separator}{}", options.join(","))
    }
}

impl FromStr for LogFormat {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        if let Some((_, format)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(format.clone());
        }
        let (kind, options) = text.split_once(':').unwrap_or((text, ""));
        let columns = || ColumnNames::parse(text, options, |_, _| Ok(false));
        let mut delimiter = match kind {
            "csv" => Some(','),
            "tsv" => Some('\t'),
            "table" => None,
            "jsonl" => return columns().map(Self::JsonLines),
            "parquet" => return columns().map(Self::Parquet),
            _ if PLAIN.iter().any(|(name, _)| *name == kind) => {
                return Err(refused(text, format!("{kind} takes no options")));
            }
            _ => {
                return Err(FormatError {
                    found: text.to_string(),
                    problem: "no such format".to_string(),
                    expected: NAMES,
                });
            }
        };
        let columns = ColumnNames::parse(text, options, |key, value| {
            if key != "delimiter" {
                return Ok(false);
            }
            let problem = |why| refused(text, format!("delimiter `{value}` {why}"));
            delimiter = match one_character(value).ok_or_else(|| problem("is not one character"))? {
                '"' | '\n' | '\r' => return Err(problem("cannot stand between fields")),
                character => Some(character),
            };
            Ok(true)
        })?;
        Ok(Self::Table { delimiter, columns })
    }
}

impl TryFrom<String> for LogFormat {
    type Error = FormatError;

    fn try_from(text: String) -> Result<Self, FormatError> {
        text.parse()
    }
}

impl From<LogFormat> for String {
    fn from(format: LogFormat) -> Self {
        format.to_string()
    }
}

/// A delimiter by its name or as itself.
fn one_character(text: &str) -> Option<char> {
    let named = DELIMITERS
        .iter()
        .find(|(name, _)| *name == text)
        .map(|&(_, character)| character);
    let mut characters = text.chars();
    named.or_else(|| characters.next().filter(|_| characters.next().is_none()))
}
