//! From a file to [`Interactions`].

mod behaviors;
mod columns;
mod content;
mod detect;
mod header;
mod items;
mod json_lines;
#[cfg(feature = "parquet")]
mod parquet;
mod records;
mod sequences;
mod time;

use std::path::Path;

use super::column_names::ColumnNames;
use super::error::LogError;
use super::format::LogFormat;
use super::gather::Gather;
use super::interactions::Interactions;
pub(crate) use content::read_bytes;
pub use items::{ItemColumns, read_items};

use behaviors::read_behaviors;
use columns::{Columns, read_columns};
use json_lines::{Objects, read_json_lines};
use records::{Records, Separator};
use sequences::read_sequences;

/// Reads an interaction log.
///
/// Gzip is recognised by its first bytes, whatever the name. A user's events may be scattered through the file; they
/// are gathered, and ordered by time where there is a time, ties and timeless logs by the order of the file. Times are
/// exact integers (`881250949`, `881250949.0` and `8.81250949E8` are the same), or dates (`2011-12-09 12:50:00`, taken as
/// UTC and turned into unix seconds); anything else is an error, never rounded.
///
/// The whole text is held in memory while reading: peak memory is about the decompressed size and 16 bytes an event.
///
/// # Errors
/// [`LogError`] says the file, line, column, what was found, what was expected and what to do. Nothing is skipped
/// silently but blank lines: a log is read wholly or not at all.
///
/// ```
/// use recommender::{LogFormat, read_log};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("clicks.csv");
/// std::fs::write(&path, "user_id,item_id,timestamp\nann,tea,20\nbob,jam,15\nann,jam,10\n")?;
/// let log = read_log(&path, &LogFormat::Auto)?;
/// let names: Vec<&str> = log.history(0).iter().map(|&item| log.item_name(item)).collect();
/// assert_eq!((log.user_name(0), names), ("ann", vec!["jam", "tea"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_log(path: &Path, format: &LogFormat) -> Result<Interactions, LogError> {
    read_log_from(path, read_bytes(path)?, format)
}

/// As [`read_log`], from the bytes of the file.
pub(crate) fn read_log_from(
    path: &Path,
    bytes: Vec<u8>,
    format: &LogFormat,
) -> Result<Interactions, LogError> {
    if let Some(columns) = parquet_columns(format, &bytes) {
        return parquet_log(path, bytes, &columns);
    }
    let content = content::load(path, bytes)?;
    let text = content::utf8(path, &content.bytes)?;
    Ok(gather(path, text, format)?.finish(content.checksum))
}

/// The format that [`LogFormat::Auto`] takes a file for, never `Auto` itself.
///
/// # Errors
/// As [`read_log`], but that only the first lines are looked at.
pub fn detect_format(path: &Path) -> Result<LogFormat, LogError> {
    let bytes = read_bytes(path)?;
    if let Some(columns) = parquet_columns(&LogFormat::Auto, &bytes) {
        return Ok(LogFormat::Parquet(columns));
    }
    let content = content::load(path, bytes)?;
    detect::detect(path, content::utf8(path, &content.bytes)?)
}

/// The columns to read where the file is Parquet by its format, or by its first bytes.
fn parquet_columns(format: &LogFormat, bytes: &[u8]) -> Option<ColumnNames> {
    match format {
        LogFormat::Parquet(columns) => Some(columns.clone()),
        LogFormat::Auto if bytes.starts_with(b"PAR1") => Some(ColumnNames::default()),
        _ => None,
    }
}

#[cfg(feature = "parquet")]
fn parquet_log(
    path: &Path,
    bytes: Vec<u8>,
    columns: &ColumnNames,
) -> Result<Interactions, LogError> {
    let checksum = blake3::hash(&bytes).to_hex().to_string();
    let gathered = parquet::read_parquet(path, bytes, columns)?;
    if gathered.events() == 0 {
        return Err(LogError::Empty {
            path: path.to_path_buf(),
            lines: 0,
            expected: "format `parquet`".to_string(),
        });
    }
    Ok(gathered.finish(checksum))
}

#[cfg(not(feature = "parquet"))]
fn parquet_log(path: &Path, _: Vec<u8>, _: &ColumnNames) -> Result<Interactions, LogError> {
    Err(LogError::NoParquet {
        path: path.to_path_buf(),
    })
}

fn gather<'a>(path: &Path, text: &'a str, format: &LogFormat) -> Result<Gather<'a>, LogError> {
    let records = |separator| Records::new(path, text, separator);
    let fixed =
        |separator, names: &[&str]| read_columns(records(separator), &Columns::fixed(names));
    let gathered = match format {
        // Parquet is no text, and was read before.
        LogFormat::Auto | LogFormat::Parquet(_) => {
            return gather(path, text, &detect::detect(path, text)?);
        }
        LogFormat::Sequences => read_sequences(records(Separator::Whitespace))?,
        LogFormat::Pairs => fixed(Separator::Whitespace, &["user", "item"])?,
        LogFormat::MovieLensData => {
            fixed(Separator::Text("\t"), &["user", "item", "rating", "time"])?
        }
        LogFormat::MovieLensDat => {
            fixed(Separator::Text("::"), &["user", "item", "rating", "time"])?
        }
        LogFormat::AmazonRatings => {
            fixed(Separator::Quoted(','), &["user", "item", "rating", "time"])?
        }
        LogFormat::AmazonRatings2018 => {
            fixed(Separator::Quoted(','), &["item", "user", "rating", "time"])?
        }
        LogFormat::Mind => read_behaviors(records(Separator::Text("\t")))?,
        LogFormat::JsonLines(columns) => read_json_lines(Objects::new(path, text), columns)?,
        LogFormat::MovieLensCsv => {
            let mut records = records(Separator::Quoted(','));
            let named = |name: &str| name.to_string();
            let names = ColumnNames {
                user: named("userId"),
                item: named("movieId"),
                time: Some(named("timestamp")),
                rating: Some(named("rating")),
            };
            let columns = header::table(&mut records, &names)?;
            read_columns(records, &columns)?
        }
        LogFormat::RecBole => {
            let mut records = records(Separator::Text("\t"));
            let columns = header::recbole(&mut records)?;
            read_columns(records, &columns)?
        }
        LogFormat::Table { delimiter, columns } => {
            let delimiter =
                delimiter.unwrap_or_else(|| header::delimiter(text, &columns.user, &columns.item));
            let mut records = records(Separator::Quoted(delimiter));
            let columns = header::table(&mut records, columns)?;
            read_columns(records, &columns)?
        }
    };
    if gathered.events() == 0 {
        return Err(LogError::Empty {
            path: path.to_path_buf(),
            lines: text.lines().count(),
            expected: format!("format `{format}`"),
        });
    }
    Ok(gathered)
}
