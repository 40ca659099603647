//! `behaviors.tsv` of MIND: a click history, then what was clicked among what was shown.

use std::collections::HashSet;

use super::columns::{Columns, check_count, too_many};
use super::records::Records;
use super::time::us_date;
use crate::data::error::{LogError, shortened};
use crate::data::gather::Gather;

const NAMES: [&str; 5] = ["impression", "user", "time", "history", "impressions"];
const USER: usize = 1;
const TIME: usize = 2;
const HISTORY: usize = 3;
const IMPRESSIONS: usize = 4;

/// Whether a line has the fields and the time of this format.
pub(super) fn looks_like(line: &str) -> bool {
    let fields: Vec<&str> = line.split('\t').collect();
    fields.len() == NAMES.len() && us_date(fields[TIME]).is_some()
}

/// A user's history from their first line, then the clicked items of all their lines in order of the impressions' times.
///
/// Every line of a user repeats the history, which has no times: it comes before all impressions, and the log has no times.
pub(super) fn read_behaviors<'a>(mut records: Records<'a, '_>) -> Result<Gather<'a>, LogError> {
    let columns = Columns::fixed(&NAMES);
    let mut gather = Gather::ordered();
    let mut known = HashSet::new();
    while records.advance()? {
        check_count(&records, &columns)?;
        let fields: Vec<&'a str> = records.text.split('\t').collect();
        let bad = |at: usize, found: &str, expected, advice| LogError::BadField {
            at: records.at(at, NAMES[at]),
            found: shortened(found),
            expected,
            advice,
        };
        let full = |at: usize| {
            let records = &records;
            move |full| too_many(records.at(at, NAMES[at]), full)
        };
        let name = fields[USER].trim();
        if name.is_empty() {
            return Err(LogError::EmptyField {
                at: records.at(USER, NAMES[USER]),
                expected: "a user",
            });
        }
        let user = gather.user(name.into()).map_err(full(USER))?;
        let time = us_date(fields[TIME]).ok_or_else(|| {
            let expected = "a time such as 11/12/2019 2:14:46 PM";
            bad(
                TIME,
                fields[TIME],
                expected,
                "use behaviors.tsv as it was published",
            )
        })?;
        if known.insert(user) {
            for item in fields[HISTORY].split_whitespace() {
                gather
                    .event(user, item.into(), i64::MIN)
                    .map_err(full(HISTORY))?;
            }
        }
        for shown in fields[IMPRESSIONS].split_whitespace() {
            match shown.rsplit_once('-') {
                Some((item, "1")) => {
                    gather
                        .event(user, item.into(), time)
                        .map_err(full(IMPRESSIONS))?;
                }
                Some((_, "0")) => {}
                _ => {
                    let expected = "ITEM-1 where it was clicked and ITEM-0 where not";
                    let advice = "use a part of the data with labels, not the test part";
                    return Err(bad(IMPRESSIONS, shown, expected, advice));
                }
            }
        }
    }
    Ok(gather)
}
