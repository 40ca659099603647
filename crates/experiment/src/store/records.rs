//! `records.jsonl`: rows that are whole, or are not there.

use super::StoreError;
use crate::record::{Record, SCHEMA_VERSION};
use std::path::Path;

/// What a file of records holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Whole rows, in order.
    pub(super) records: Vec<Record>,
    /// Bytes that they take; what follows is a torn row.
    pub(super) whole_bytes: u64,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

/// Reads a file; an absent one holds nothing.
///
/// A killed writer leaves a last line that is cut, or, after a power failure, a tail of zeros: what
/// follows the last whole row is torn. An unreadable line before a whole row is damage.
pub(super) fn read(path: &Path) -> Result<Contents, StoreError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Contents::default());
        }
        Err(error) => return Err(StoreError::io("read", path, error)),
    };
    let mut contents = Contents {
        bytes: bytes.len() as u64,
        ..Contents::default()
    };
    let mut broken: Option<(usize, String)> = None;
    let mut start = 0;
    for (number, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        start += line.len() as u64;
        let whole = line.ends_with(b"\n");
        match (parse(path, line), &broken) {
            (Ok(record), None) if whole => {
                contents.records.push(record);
                contents.whole_bytes = start;
            }
            (Ok(_), Some((line, reason))) if whole => {
                return Err(StoreError::Damaged {
                    path: path.into(),
                    line: *line,
                    reason: reason.clone(),
                });
            }
            (Err(Fault::Newer(found)), _) if whole => {
                return Err(StoreError::Newer {
                    path: path.into(),
                    found,
                    known: SCHEMA_VERSION,
                });
            }
            (Err(Fault::Unreadable(reason)), None) => broken = Some((number + 1, reason)),
            _ => {}
        }
    }
    Ok(contents)
}

enum Fault {
    Newer(u64),
    Unreadable(String),
}

fn parse(_path: &Path, line: &[u8]) -> Result<Record, Fault> {
    let unreadable =
        |error: serde_json::Error| Fault::Unreadable(format!("not a record ({error})"));
    let record = serde_json::from_slice(line);
    if let Ok(record) = record {
        let record: Record = record;
        let version = record.schema_version;
        return if version > SCHEMA_VERSION {
            Err(Fault::Newer(version.into()))
        } else {
            Ok(record)
        };
    }
    // A newer schema may have rows that do not fit ours.
    let value: serde_json::Value = serde_json::from_slice(line).map_err(unreadable)?;
    match value
        .get("schema_version")
        .and_then(serde_json::Value::as_u64)
    {
        Some(version) if version > u64::from(SCHEMA_VERSION) => Err(Fault::Newer(version)),
        _ => Err(record.map_or_else(unreadable, |_| Fault::Unreadable(String::new()))),
    }
}

/// Rows as lines.
pub(super) fn lines<'r>(records: impl Iterator<Item = &'r Record>) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    for record in records {
        serde_json::to_writer(&mut text, record)?;
        text.push(b'\n');
    }
    Ok(text)
}
