//! From a file to [`Interactions`].

mod columns;
mod content;
mod detect;
mod header;
mod records;
mod sequences;
mod time;

use std::path::Path;

use super::error::LogError;
use super::format::LogFormat;
use super::gather::Gather;
use super::interactions::Interactions;
use columns::{Columns, read_columns};
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
    let content = content::load(path)?;
    let text = content::utf8(path, &content.bytes)?;
    Ok(gather(path, text, format)?.finish(content.checksum))
}

/// The format that [`LogFormat::Auto`] takes a file for, never `Auto` itself.
///
/// # Errors
/// As [`read_log`], but that only the first lines are looked at.
pub fn detect_format(path: &Path) -> Result<LogFormat, LogError> {
    let content = content::load(path)?;
    detect::detect(path, content::utf8(path, &content.bytes)?)
}

fn gather<'a>(path: &Path, text: &'a str, format: &LogFormat) -> Result<Gather<'a>, LogError> {
    let records = |separator| Records::new(path, text, separator);
    let gathered = match format {
        LogFormat::Auto => return gather(path, text, &detect::detect(path, text)?),
        LogFormat::Sequences => read_sequences(records(Separator::Whitespace))?,
        LogFormat::Pairs => {
            let columns = Columns::fixed(&["user", "item"], None);
            read_columns(records(Separator::Whitespace), &columns)?
        }
        LogFormat::MovieLensData | LogFormat::MovieLensDat => {
            let columns = Columns::fixed(&["user", "item", "rating", "time"], Some(3));
            let between = if *format == LogFormat::MovieLensDat {
                "::"
            } else {
                "\t"
            };
            read_columns(records(Separator::Text(between)), &columns)?
        }
        LogFormat::MovieLensCsv => {
            let mut records = records(Separator::Quoted(','));
            let columns = header::table(&mut records, "userId", "movieId", Some("timestamp"))?;
            read_columns(records, &columns)?
        }
        LogFormat::RecBole => {
            let mut records = records(Separator::Text("\t"));
            let columns = header::recbole(&mut records)?;
            read_columns(records, &columns)?
        }
        LogFormat::Table {
            delimiter,
            user,
            item,
            time,
        } => {
            let delimiter = delimiter.unwrap_or_else(|| header::delimiter(text, user, item));
            let mut records = records(Separator::Quoted(delimiter));
            let columns = header::table(&mut records, user, item, time.as_deref())?;
            read_columns(records, &columns)?
        }
    };
    if gathered.events() == 0 {
        let expected = format!("format `{format}`");
        return Err(LogError::Empty {
            path: path.to_path_buf(),
            lines: text.lines().count(),
            expected,
        });
    }
    Ok(gathered)
}
