//! Logs in Parquet, written here by the reader's own crate.
#![cfg(feature = "parquet")]

mod support;

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use recommender::{LogFormat, read_log};
use support::{LogFile, histories};

/// Rating, item, user and time, one row group for each half of the rows.
fn file(time_type: &str, times: &[i64], compression: Compression) -> Vec<u8> {
    let schema = format!(
        "message log {{ required double rating; required binary asin (UTF8); optional int64 user_id; required int64 timestamp {time_type}; }}"
    );
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let properties = Arc::new(
        WriterProperties::builder()
            .set_compression(compression)
            .build(),
    );
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    let (items, users) = (["c", "a", "a", "b", "c"], [7, 3, 7, 7, 3]);
    for rows in [0..3, 3..5] {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<DoubleType>()
            .write_batch(&vec![1.5; rows.len()], None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let names: Vec<ByteArray> = items[rows.clone()]
            .iter()
            .map(|&item| item.into())
            .collect();
        column
            .typed::<ByteArrayType>()
            .write_batch(&names, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let defined = vec![1; rows.len()];
        column
            .typed::<Int64Type>()
            .write_batch(&users[rows.clone()], Some(&defined), None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<Int64Type>()
            .write_batch(&times[rows], None, None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

const TIMES: [i64; 5] = [
    9_007_199_254_740_993,
    1,
    9_007_199_254_740_994,
    9_007_199_254_740_995,
    2,
];

#[test]
fn columns_are_found_and_times_stay_exact() {
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::GZIP(Default::default()),
    ] {
        for time_type in ["", "(TIMESTAMP(MICROS,true))", "(TIMESTAMP(MILLIS,true))"] {
            let file = LogFile::new("log", file(time_type, &TIMES, compression));
            let log = file.read("auto").unwrap();
            assert_eq!(
                histories(&log),
                ["7: c a b", "3: a c"],
                "{compression:?} {time_type}"
            );
            assert_eq!(
                log.times(0),
                Some(&[TIMES[0], TIMES[2], TIMES[3]][..]),
                "{time_type}"
            );
            assert_eq!(file.read("parquet:user=user_id,item=asin").unwrap(), log);
            assert_eq!(log.ratings(1), Some(&[1.5, 1.5][..]));
            let untimed = file.read("parquet:time=none").unwrap();
            assert_eq!(
                (histories(&untimed), untimed.has_times()),
                (histories(&log), false)
            );
        }
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let whole = file("", &TIMES, Compression::SNAPPY);
    let good = LogFile::new("log.parquet", &whole);
    assert!(good.error("parquet:item=asins").contains("no item column named `asins`; the columns are rating, asin, user_id, timestamp; the nearest is `asin`"));
    assert_eq!(
        good.error("parquet:time=rating"),
        "log.parquet, line 1, column 1 (rating): found `1.5`, expected a whole number; write it in a finer unit, e.g. \
         milliseconds, so that no time is rounded"
    );
    assert!(
        good.error("parquet:user=rating")
            .contains("line 1, column 1 (rating): found `1.5`, expected a text or a whole number")
    );
    let cut = LogFile::new("log.parquet", &whole[..whole.len() - 9]);
    assert!(cut.error("auto").contains("cannot be read as Parquet"));
    assert!(read_log(&good.path(), &LogFormat::table()).is_err());
}
