//! Logs in Apache Parquet.

use std::path::Path;
use std::sync::Arc;

use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;
use ::parquet::schema::types::Type;
use bytes::Bytes;

use super::columns::{bad_time, parse_rating, too_many};
use super::header::Places;
use super::time::parse_time;
use crate::data::column_names::ColumnNames;
use crate::data::error::{Location, LogError, shortened};
use crate::data::gather::Gather;

/// Reads the columns of an event from a flat file, row by row; rows count as lines in errors.
///
/// Tokens are texts or whole numbers; times are numbers, texts as elsewhere, or timestamps in their own unit.
pub(super) fn read_parquet(
    path: &Path,
    bytes: Vec<u8>,
    names: &ColumnNames,
) -> Result<Gather<'static>, LogError> {
    let broken = |error: ParquetError| LogError::Parquet {
        path: path.to_path_buf(),
        reason: error.to_string(),
    };
    let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(broken)?;
    let schema = reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .root_schema_ptr();
    let columns: Vec<String> = schema
        .get_fields()
        .iter()
        .map(|field| field.name().to_string())
        .collect();
    let Places {
        user,
        item,
        time,
        rating,
    } = Places::find(path, 1, &columns, names)?;
    // A projected row keeps the order of the file.
    let mut taken: Vec<usize> = [Some(user), Some(item), time, rating]
        .into_iter()
        .flatten()
        .collect();
    taken.sort_unstable();
    taken.dedup();
    let projection = Type::group_type_builder(schema.name())
        .with_fields(
            taken
                .iter()
                .map(|&at| Arc::clone(&schema.get_fields()[at]))
                .collect(),
        )
        .build()
        .map_err(broken)?;
    let mut gather = Gather::new(time.is_some());
    let rows = reader.get_row_iter(Some(projection)).map_err(broken)?;
    for (row, fields) in (1..).zip(rows) {
        let fields: Vec<Field> = fields
            .map_err(broken)?
            .into_columns()
            .into_iter()
            .map(|(_, field)| field)
            .collect();
        let at = |column: usize| {
            Box::new(Location {
                path: path.to_path_buf(),
                line: row,
                column: column + 1,
                name: columns[column].clone(),
            })
        };
        let field = |column: usize| {
            taken
                .binary_search(&column)
                .ok()
                .and_then(|place| fields.get(place))
        };
        let token = |column, expected| match field(column).map(|field| (text(field), field)) {
            Some((Some(text), _)) if !text.is_empty() => Ok(text),
            None | Some((Some(_), _) | (None, Field::Null)) => Err(LogError::EmptyField {
                at: at(column),
                expected,
            }),
            Some((None, other)) => Err(LogError::BadField {
                at: at(column),
                found: shortened(&other.to_string()),
                expected: "a text or a whole number",
                advice: "name another column, or write this one as text",
            }),
        };
        let (user_token, item_token) = (token(user, "a user")?, token(item, "an item")?);
        let when = match time {
            None => 0,
            Some(column) => match field(column) {
                Some(&Field::TimestampMillis(time) | &Field::TimestampMicros(time)) => time,
                Some(&Field::Date(days)) => i64::from(days) * 86_400,
                other => {
                    let found = other.and_then(number).unwrap_or_default();
                    parse_time(&found).map_err(|why| bad_time(at(column), &found, why))?
                }
            },
        };
        let user_number = gather
            .user(user_token.into())
            .map_err(|full| too_many(at(user), full))?;
        gather
            .event(user_number, item_token.into(), when)
            .map_err(|full| too_many(at(item), full))?;
        if let Some(column) = rating {
            let found = field(column).and_then(number).unwrap_or_default();
            gather.rate(parse_rating(|| at(column), &found)?);
        }
    }
    Ok(gather)
}

/// A text or a whole number as a token.
fn text(field: &Field) -> Option<String> {
    Some(match field {
        Field::Str(text) => text.trim().to_string(),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).ok()?.trim().to_string(),
        Field::Byte(number) => number.to_string(),
        Field::Short(number) => number.to_string(),
        Field::Int(number) => number.to_string(),
        Field::Long(number) => number.to_string(),
        Field::UByte(number) => number.to_string(),
        Field::UShort(number) => number.to_string(),
        Field::UInt(number) => number.to_string(),
        Field::ULong(number) => number.to_string(),
        _ => return None,
    })
}

/// As [`text`], and floats in full, so that a fraction is seen and refused.
fn number(field: &Field) -> Option<String> {
    match field {
        Field::Float(number) => Some(number.to_string()),
        Field::Double(number) => Some(number.to_string()),
        other => text(other).map(|found| shortened(&found)),
    }
}
