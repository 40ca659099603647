//! Logs of one JSON object a line.

use std::path::Path;

use serde_json::{Map, Value};

use super::columns::{bad_time, too_many};
use super::header::{ITEM_NAMES, TIME_NAMES, USER_NAMES, find, missing};
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
    names: &ColumnNames,
) -> Result<Gather<'a>, LogError> {
    let mut gather = Gather::new(names.time.is_some());
    let mut keys: Option<Keys> = None;
    while let Some(object) = objects.next()? {
        let records = &objects.records;
        let keys = match &mut keys {
            Some(keys) => keys,
            none => none.insert(Keys::of(records, &object, names)?),
        };
        let text = |(at, key): (usize, &str), role| {
            let found = match object.get(key) {
                Some(Value::String(text)) => text.trim().to_string(),
                Some(Value::Number(number)) => number.to_string(),
                None => {
                    let keys: Vec<String> = object.keys().cloned().collect();
                    return Err(missing(records.path, records.line, &keys, role, key));
                }
                Some(other) => {
                    return Err(LogError::BadField {
                        at: records.at(at, key),
                        found: shortened(&other.to_string()),
                        expected: "a text or a number",
                        advice: "name another key, or drop the line",
                    });
                }
            };
            Ok(found)
        };
        let token = |key: (usize, &str), role, expected| {
            text(key, role).and_then(|found| {
                let at = || records.at(key.0, key.1);
                if found.is_empty() {
                    Err(LogError::EmptyField { at: at(), expected })
                } else {
                    Ok(found)
                }
            })
        };
        let (user, item) = (
            token((0, &keys.user), "user", "a user")?,
            token((1, &keys.item), "item", "an item")?,
        );
        let time = match &keys.time {
            Some(key) => {
                let found = text((2, key), "time")?;
                parse_time(&found).map_err(|why| bad_time(records.at(2, key), &found, why))?
            }
            None => 0,
        };
        let user = gather
            .user(user.into())
            .map_err(|full| too_many(records.at(0, &keys.user), full))?;
        gather
            .event(user, item.into(), time)
            .map_err(|full| too_many(records.at(1, &keys.item), full))?;
    }
    Ok(gather)
}

struct Keys {
    user: String,
    item: String,
    time: Option<String>,
}

impl Keys {
    fn of(
        records: &Records<'_, '_>,
        object: &Map<String, Value>,
        names: &ColumnNames,
    ) -> Result<Self, LogError> {
        let keys: Vec<String> = object.keys().cloned().collect();
        let key = |role, name: &str, common| {
            find(&keys, name, common)
                .map(|at| keys[at].clone())
                .ok_or_else(|| missing(records.path, records.line, &keys, role, name))
        };
        Ok(Self {
            user: key("user", &names.user, USER_NAMES)?,
            item: key("item", &names.item, ITEM_NAMES)?,
            time: names
                .time
                .as_ref()
                .map(|name| key("time", name, TIME_NAMES))
                .transpose()?,
        })
    }
}
