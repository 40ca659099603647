//! Logs of one history a line.

use super::records::Records;
use crate::data::error::{LogError, shortened};
use crate::data::gather::Gather;

/// `user item item ...` a line; a user on several lines is read on from line to line.
pub(super) fn read_sequences<'a>(mut records: Records<'a, '_>) -> Result<Gather<'a>, LogError> {
    let mut gather = Gather::new(false);
    while records.advance()? {
        if records.fields.len() < 2 {
            return Err(LogError::FieldCount {
                at: records.at(1, "item"),
                found: records.fields.len(),
                text: shortened(records.text),
                expected: "a user and at least one item".to_string(),
                advice: "complete or drop the line",
            });
        }
        let fields = std::mem::take(&mut records.fields);
        let mut fields = fields.into_iter().enumerate();
        let mut user = 0;
        if let Some((_, token)) = fields.next() {
            user = gather.user(token).map_err(|full| LogError::TooMany {
                at: records.at(0, "user"),
                what: full.what,
                limit: full.limit,
            })?;
        }
        for (field, token) in fields {
            gather
                .event(user, token, 0)
                .map_err(|full| LogError::TooMany {
                    at: records.at(field, "item"),
                    what: full.what,
                    limit: full.limit,
                })?;
        }
    }
    Ok(gather)
}
