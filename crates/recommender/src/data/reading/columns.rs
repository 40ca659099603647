//! Logs of one event a record, in named columns.

use std::borrow::Cow;

use super::header::Places;
use super::records::Records;
use super::time::{NoTime, parse_time};
use crate::data::error::{Location, LogError, shortened};
use crate::data::gather::{Full, Gather};

/// Names of all fields, and which of them is what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    pub(super) places: Places,
}

impl Columns {
    /// Columns of a format without a header: by the names `user`, `item`, `time` and `rating`.
    pub(super) fn fixed(names: &[&str]) -> Self {
        let place = |name| names.iter().position(|other| *other == name);
        Self {
            names: names.iter().map(|name| name.to_string()).collect(),
            places: Places {
                user: place("user").unwrap_or(0),
                item: place("item").unwrap_or(1),
                time: place("time"),
                rating: place("rating"),
            },
        }
    }
}

pub(super) fn read_columns<'a>(
    mut records: Records<'a, '_>,
    columns: &Columns,
) -> Result<Gather<'a>, LogError> {
    let Places {
        user,
        item,
        time,
        rating,
    } = columns.places;
    let mut gather = Gather::new(time.is_some());
    while records.advance()? {
        check_count(&records, columns)?;
        let user_token = token(&mut records, columns, user, "a user")?;
        let item_token = token(&mut records, columns, item, "an item")?;
        let at = |field: usize| records.at(field, &columns.names[field]);
        let when = match time {
            Some(field) => {
                let text = records.fields[field].as_ref();
                parse_time(text).map_err(|why| bad_time(at(field), text, why))?
            }
            None => 0,
        };
        let user_number = gather
            .user(user_token)
            .map_err(|full| too_many(at(user), full))?;
        gather
            .event(user_number, item_token, when)
            .map_err(|full| too_many(at(item), full))?;
        if let Some(field) = rating {
            gather.rate(parse_rating(|| at(field), &records.fields[field])?);
        }
    }
    Ok(gather)
}

/// A finite number; any in another form would turn every loss into NaN.
pub(super) fn parse_rating(
    at: impl FnOnce() -> Box<Location>,
    text: &str,
) -> Result<f32, LogError> {
    let rating = text
        .trim()
        .parse()
        .ok()
        .filter(|rating: &f32| rating.is_finite());
    rating.ok_or_else(|| LogError::BadField {
        at: at(),
        found: shortened(text),
        expected: "a number as rating",
        advice: "fill it in, or leave ratings out (rating=none)",
    })
}

pub(super) fn check_count(records: &Records<'_, '_>, columns: &Columns) -> Result<(), LogError> {
    let (found, expected) = (records.fields.len(), columns.names.len());
    if found == expected {
        return Ok(());
    }
    let name = columns
        .names
        .get(found)
        .map_or("past the last", String::as_str);
    Err(LogError::FieldCount {
        at: records.at(found.min(expected), name),
        found,
        text: shortened(records.text),
        expected: format!("{expected}: {}", columns.names.join(", ")),
        advice: if found < expected {
            "complete or drop the line, or name another format or delimiter"
        } else {
            "quote a field that holds the delimiter, or name another format"
        },
    })
}

/// Takes the field out of the record, without the white space round it.
fn token<'a>(
    records: &mut Records<'a, '_>,
    columns: &Columns,
    field: usize,
    expected: &'static str,
) -> Result<Cow<'a, str>, LogError> {
    // A clone of a borrowed field is a copy of its address; an owned one had escapes in it and is rare.
    let trimmed = match records.fields[field].clone() {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_string()),
    };
    if trimmed.is_empty() {
        return Err(LogError::EmptyField {
            at: records.at(field, &columns.names[field]),
            expected,
        });
    }
    Ok(trimmed)
}

pub(super) fn bad_time(at: Box<Location>, text: &str, why: NoTime) -> LogError {
    let (expected, advice) = match why {
        NoTime::Fraction => (
            "a whole number",
            "write it in a finer unit, e.g. milliseconds, so that no time is rounded",
        ),
        NoTime::Range => (
            "a time within 64 bits",
            "write it in a coarser unit, e.g. seconds",
        ),
        NoTime::Unknown => (
            "a whole number such as unix seconds, or a date such as 2011-12-09 12:50:00",
            "convert the column, or read the log in file order (time=none)",
        ),
    };
    LogError::BadField {
        at,
        found: shortened(text),
        expected,
        advice,
    }
}

pub(super) fn too_many(at: Box<Location>, full: Full) -> LogError {
    LogError::TooMany {
        at,
        what: full.what,
        limit: full.limit,
    }
}
