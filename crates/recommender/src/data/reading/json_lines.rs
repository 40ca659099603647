//! Logs of one JSON object a line.

use std::path::Path;

use serde_json::{Map, Value};

use super::columns::{bad_time, parse_rating, too_many};
use super::header::{Places, missing};
use super::records::{Records, Separator};
use super::time::parse_time;
use crate::data::column_names::ColumnNames;
use crate::data::error::{LogError, shortened};
use crate::data::gather::Gather;

/// Objects of a text, one a line.
pub(super) struct Objects<'a, 'p> {
    pub(super) records: Records<'a, 'p>,
}

impl<'a, 'p> Objects<'a, 'p> {
    pub(super) fn new(path: &'p Path, text: &'a str) -> Self {
        // A separator that no line holds: the line is the one field.
        let records = Records::new(path, text, Separator::Text("\n"));
        Self { records }
    }

    pub(super) fn next(&mut self) -> Result<Option<Map<String, Value>>, LogError> {
        if !self.records.advance()? {
            return Ok(None);
        }
        serde_json::from_str(self.records.text)
            .map(Some)
            .map_err(|error| LogError::BadField {
                at: self.records.at(error.column().saturating_sub(1), "character of the line"),
                found: shortened(self.records.text),
                expected: "one JSON object a line",
                advice: "write each object on a line of its own, with double quotes (JSON, not Python)",
            })
    }
}

/// Events under the keys that the first object has.
pub(super) fn read_json_lines<'a>(
    mut objects: Objects<'a, '_>,
    wanted: &ColumnNames,
) -> Result<Gather<'a>, LogError> {
    let mut gather = Gather::new(wanted.time.is_some());
    let mut found: Option<(Vec<String>, Places)> = None;
    while let Some(object) = objects.next()? {
        let records = &objects.records;
        let (keys, places) = match &mut found {
            Some(found) => found,
            none => {
                let keys: Vec<String> = object.keys().cloned().collect();
                let places = Places::find(records.path, records.line, &keys, wanted)?;
                none.insert((keys, places))
            }
        };
        let at = |key: usize| records.at(key, &keys[key]);
        let text = |key: usize, role| match object.get(&keys[key]) {
            Some(Value::String(text)) => Ok(text.trim().to_string()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            None => {
                let there: Vec<String> = object.keys().cloned().collect();
                Err(missing(
                    records.path,
                    records.line,
                    &there,
                    role,
                    &keys[key],
                ))
            }
            Some(other) => Err(LogError::BadField {
                at: at(key),
                found: shortened(&other.to_string()),
                expected: "a text or a number",
                advice: "name another key, or drop the line",
            }),
        };
        let token = |key: usize, role, expected| {
            let found = text(key, role)?;
            if found.is_empty() {
                return Err(LogError::EmptyField {
                    at: at(key),
                    expected,
                });
            }
            Ok(found)
        };
        let user = token(places.user, "user", "a user")?;
        let item = token(places.item, "item", "an item")?;
        let time = match places.time {
            Some(key) => {
                let found = text(key, "time")?;
                parse_time(&found).map_err(|why| bad_time(at(key), &found, why))?
            }
            None => 0,
        };
        let user = gather
            .user(user.into())
            .map_err(|full| too_many(at(places.user), full))?;
        gather
            .event(user, item.into(), time)
            .map_err(|full| too_many(at(places.item), full))?;
        if let Some(key) = places.rating {
            gather.rate(parse_rating(|| at(key), &text(key, "rating")?)?);
        }
    }
    Ok(gather)
}
