//! What can be wrong with a log, said so that it can be put right.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A field of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// Line number, from 1.
    pub line: usize,
    /// Number of the field in its line, from 1.
    pub column: usize,
    /// Name of the column.
    pub name: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, line {}, column {} ({})",
            self.path.display(),
            self.line,
            self.column,
            self.name
        )
    }
}

/// Why a log could not be read; nothing of it is used then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LogError {
    /// There is no such file.
    #[error("{}: no such file; check the path of the interaction log", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("{}: cannot be read ({reason}); expected a file with read permission", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The file holds no events.
    #[error("{}: no events after {lines} lines; expected at least one interaction ({expected})", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// Lines read.
        lines: usize,
        /// What a line should hold.
        expected: String,
    },
    /// A gzip file ends too early.
    #[error(
        "{}: the gzip data end too early: {compressed} bytes gave {decompressed} bytes ({lines} whole lines) and no end mark; \
         nothing of it is used, copy or download the file again", path.display()
    )]
    TruncatedGzip {
        /// The file.
        path: PathBuf,
        /// Bytes of the file.
        compressed: usize,
        /// Bytes that could be decompressed.
        decompressed: usize,
        /// Whole lines among them.
        lines: usize,
    },
    /// A gzip file is damaged.
    #[error(
        "{}: the gzip data are damaged after {decompressed} decompressed bytes ({lines} whole lines): {reason}; nothing of it \
         is used, copy or download the file again", path.display()
    )]
    CorruptGzip {
        /// The file.
        path: PathBuf,
        /// Bytes that could be decompressed.
        decompressed: usize,
        /// Whole lines among them.
        lines: usize,
        /// What the decompressor said.
        reason: String,
    },
    /// Bytes that are not UTF-8.
    #[error(
        "{}, line {line}, byte {byte} of the line: found 0x{found:02x}, expected UTF-8 text; convert the file, e.g. with \
         `iconv -f LATIN1 -t UTF-8`", path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Byte in the line, from 1.
        byte: usize,
        /// The byte.
        found: u8,
    },
    /// A field that is not what it should be, such as a time that is not an exact integer.
    #[error("{at}: found `{found}`, expected {expected}; {advice}")]
    BadField {
        /// Where.
        at: Box<Location>,
        /// What stands there, shortened.
        found: String,
        /// What should.
        expected: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// A user or item token is empty.
    #[error("{at}: found an empty field, expected {expected}; fill it in or drop the line")]
    EmptyField {
        /// Where.
        at: Box<Location>,
        /// What should stand there.
        expected: &'static str,
    },
    /// The header lacks a column that is needed.
    #[error(
        "{}, line {line}: no {role} column {}; the columns are {}{}; {advice}",
        path.display(),
        wanted.as_ref().map_or_else(|| "under any of the common names".to_string(), |name| format!("named `{name}`")),
        columns.join(", "),
        nearest.as_ref().map_or_else(String::new, |name| format!("; the nearest is `{name}`"))
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// Line of the header, from 1.
        line: usize,
        /// What the column is for: user, item or time.
        role: &'static str,
        /// The name asked for; `None`: one of the common names.
        wanted: Option<Box<str>>,
        /// The columns there are.
        columns: Vec<String>,
        /// The nearest name there is.
        nearest: Option<Box<str>>,
        /// What to do.
        advice: &'static str,
    },
    /// A line with another number of fields than it should have.
    #[error("{at}: found {found} fields in `{text}`, expected {expected}; {advice}")]
    FieldCount {
        /// The first field that is missing or too much.
        at: Box<Location>,
        /// Fields found.
        found: usize,
        /// The line, shortened.
        text: String,
        /// What was expected.
        expected: String,
        /// What to do.
        advice: &'static str,
    },
    /// A quoted field that never ends.
    #[error(
        "{at}: found an opening quote and no closing one before the end of the file, expected `\"`; close or remove it"
    )]
    UnclosedQuote {
        /// Where the quote opens.
        at: Box<Location>,
    },
    /// Text between a closing quote and the next delimiter.
    #[error(
        "{at}: found `{found}` after the closing quote, expected the delimiter or the end of the line; write a quote within a quoted field as `\"\"`"
    )]
    StrayQuote {
        /// Where.
        at: Box<Location>,
        /// What follows the quote, shortened.
        found: String,
    },
    /// More distinct users or items than a 32-bit index numbers.
    #[error(
        "{at}: found more than {limit} distinct {what}, expected at most that many; split the log"
    )]
    TooMany {
        /// Where the first one too much stands.
        at: Box<Location>,
        /// Users or items.
        what: &'static str,
        /// The limit.
        limit: u32,
    },
    /// A Parquet file that cannot be read.
    #[error("{}: cannot be read as Parquet ({reason}); write a flat file without compression or with snappy, lz4 or gzip", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A Parquet file, met by a build without the feature.
    #[error("{}: is a Parquet file and this build reads none; build with the feature `parquet`, or write the log as CSV", path.display())]
    NoParquet {
        /// The file.
        path: PathBuf,
    },
    /// The format could not be told from the name and the first lines.
    #[error("{}, line {line}: the format cannot be told; found `{found}`; tried {tried}; name the format, e.g. {advice}", path.display(), tried = tried.join("; "))]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The first line with text, from 1.
        line: usize,
        /// That line, shortened.
        found: String,
        /// Each format tried, and why it is not that.
        tried: Vec<String>,
        /// What to write.
        advice: &'static str,
    },
}

impl LogError {
    /// The same with the columns as they are written in the file.
    pub(crate) fn with_columns(mut self, names: &[String]) -> Self {
        if let Self::MissingColumn { columns, .. } = &mut self {
            *columns = names.iter().map(|name| shortened(name)).collect();
        }
        self
    }

    /// The file the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path }
            | Self::Unreadable { path, .. }
            | Self::Empty { path, .. }
            | Self::TruncatedGzip { path, .. }
            | Self::CorruptGzip { path, .. }
            | Self::NotUtf8 { path, .. }
            | Self::MissingColumn { path, .. }
            | Self::Parquet { path, .. }
            | Self::NoParquet { path }
            | Self::UnknownFormat { path, .. } => path,
            Self::BadField { at, .. }
            | Self::FieldCount { at, .. }
            | Self::EmptyField { at, .. }
            | Self::UnclosedQuote { at }
            | Self::StrayQuote { at, .. }
            | Self::TooMany { at, .. } => &at.path,
        }
    }
}

/// A piece of the file for a message: at most 40 characters, control characters escaped.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut short: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
