//! The formats a log may have, and their short names for configuration files.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How a log file is laid out; gzip is recognised in any of them.
///
/// Parses from and prints to a short string:
///
/// | string | layout |
/// |---|---|
/// | `auto` | told from the file name and the first lines |
/// | `csv`, `tsv`, `table` | named columns; `csv:user=CustomerID,item=StockCode,time=ts` names them, `time=none` ignores time |
/// | `movielens-data` | `user item rating time`, tab between (`u.data`) |
/// | `movielens-dat` | `user::item::rating::time` (`ratings.dat`) |
/// | `movielens-csv` | header `userId,movieId,rating,timestamp` |
/// | `recbole` | typed header `user_id:token`, `item_id:token`, `timestamp:float` (`.inter`) |
/// | `pairs` | `user item` a line, in time order |
/// | `sequences` | `user item item ...` a line, in time order |
///
/// ```
/// use recommender::LogFormat;
///
/// let format: LogFormat = "csv:user=who,item=what,time=none".parse()?;
/// let LogFormat::Table { delimiter, user, time, .. } = &format else { unreachable!() };
/// assert_eq!((*delimiter, user.as_str(), time.as_deref()), (Some(','), "who", None));
/// assert_eq!(format.to_string().parse(), Ok(format));
/// # Ok::<(), recommender::FormatError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LogFormat {
    /// Told from the file name and the first lines.
    #[default]
    Auto,
    /// A header and named columns, fields quoted as in RFC 4180.
    ///
    /// An empty column name stands for the common ones (`user_id`, `CustomerID`, `visitorid`, ...; `item_id`, `movieId`,
    /// `StockCode`, ...; `timestamp`, `ts`, `time`, ...).
    Table {
        /// Between fields; `None`: the one of comma, tab, semicolon and bar that splits the header into the columns.
        delimiter: Option<char>,
        /// Name of the user column.
        user: String,
        /// Name of the item column.
        item: String,
        /// Name of the time column; `None`: the file is in time order.
        time: Option<String>,
    },
    /// `user item rating time`, tab between (`u.data` of MovieLens 100K).
    MovieLensData,
    /// `user::item::rating::time` (`ratings.dat` of MovieLens 1M and 10M).
    MovieLensDat,
    /// Header `userId,movieId,rating,timestamp` (`ratings.csv` of MovieLens 20M and later).
    MovieLensCsv,
    /// An atomic `.inter` file of RecBole: tab-separated, header fields `name:type`.
    RecBole,
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

const PLAIN: [(&str, LogFormat); 7] = [
    ("auto", LogFormat::Auto),
    ("movielens-data", LogFormat::MovieLensData),
    ("movielens-dat", LogFormat::MovieLensDat),
    ("movielens-csv", LogFormat::MovieLensCsv),
    ("recbole", LogFormat::RecBole),
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
const NAMES: &str = "auto, csv, tsv, table, movielens-data, movielens-dat, movielens-csv, recbole, pairs or sequences";
const OPTIONS: &str = "csv, tsv or table with user=, item=, time= (or time=none) and delimiter=, e.g. csv:user=CustomerID,item=StockCode,time=ts";

impl LogFormat {
    /// A table whose delimiter and columns are found from its header.
    pub fn table() -> Self {
        Self::table_with(None)
    }

    /// A table with this delimiter whose columns are found from its header.
    pub(crate) fn table_with(delimiter: Option<char>) -> Self {
        Self::Table {
            delimiter,
            user: String::new(),
            item: String::new(),
            time: Some(String::new()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Table {
            delimiter,
            user,
            item,
            time,
        } = self
        else {
            let name = PLAIN
                .iter()
                .find(|(_, format)| format == self)
                .map_or("auto", |(name, _)| name);
            return f.write_str(name);
        };
        let mut options = Vec::new();
        let name = match delimiter {
            Some(',') => "csv",
            Some('\t') => "tsv",
            None => "table",
            Some(other) => {
                let named = DELIMITERS.iter().find(|(_, character)| character == other);
                options.push(format!(
                    "delimiter={}",
                    named.map_or_else(|| escaped(&other.to_string()), |(name, _)| name.to_string())
                ));
                "table"
            }
        };
        for (key, value) in [("user", user), ("item", item)] {
            if !value.is_empty() {
                options.push(format!("{key}={}", escaped(value)));
            }
        }
        match time.as_deref() {
            None => options.push("time=none".to_string()),
            Some("") => {}
            // A column that is really called so keeps its name.
            Some("none") => options.push("time=\\none".to_string()),
            Some(column) => options.push(format!("time={}", escaped(column))),
        }
        let separator = if options.is_empty() { "" } else { ":" };
        write!(f, "{name}{separator}{}", options.join(","))
    }
}

impl FromStr for LogFormat {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let refuse = |problem: String, expected| FormatError {
            found: text.to_string(),
            problem,
            expected,
        };
        if let Some((_, format)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(format.clone());
        }
        let (kind, options) = text.split_once(':').unwrap_or((text, ""));
        let mut delimiter = match kind {
            "csv" => Some(','),
            "tsv" => Some('\t'),
            "table" => None,
            _ if PLAIN.iter().any(|(name, _)| *name == kind) => {
                return Err(refuse(format!("{kind} takes no options"), OPTIONS));
            }
            _ => return Err(refuse("no such format".to_string(), NAMES)),
        };
        let (mut user, mut item, mut time) = (String::new(), String::new(), Some(String::new()));
        for option in split_escaped(options) {
            let (key, raw) = option
                .split_once('=')
                .ok_or_else(|| refuse(format!("option `{option}` has no value"), OPTIONS))?;
            let value = unescaped(raw);
            match key {
                "user" => user = value,
                "item" => item = value,
                "time" => time = (raw != "none").then_some(value),
                "delimiter" => {
                    let problem = |why| refuse(format!("delimiter `{value}` {why}"), OPTIONS);
                    delimiter = match one_character(&value)
                        .ok_or_else(|| problem("is not one character"))?
                    {
                        '"' | '\n' | '\r' => return Err(problem("cannot stand between fields")),
                        character => Some(character),
                    };
                }
                _ => return Err(refuse(format!("no option `{key}`"), OPTIONS)),
            }
        }
        Ok(Self::Table {
            delimiter,
            user,
            item,
            time,
        })
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

fn escaped(value: &str) -> String {
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
