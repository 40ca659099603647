//! What a broken log is answered with.

mod support;

use std::path::Path;

use recommender::data::Location;
use recommender::{LogError, LogFormat, read_log};
use support::{LogFile, gzip};

#[test]
fn a_bad_time_says_line_column_and_what_to_do() {
    let file = LogFile::new("u.data", "1\t2\t3\t881250949\n1\t2\t3\tyesterday\n");
    assert_eq!(
        file.error("movielens-data"),
        "u.data, line 2, column 4 (time): found `yesterday`, expected a whole number such as unix seconds, or a date such \
         as 2011-12-09 12:50:00; convert the column, or read the log in file order (time=none)"
    );
    let file = LogFile::new(
        "ml.inter",
        "user_id:token\titem_id:token\ttimestamp:float\n1\t2\t881250949.25\n",
    );
    assert_eq!(
        file.error("auto"),
        "ml.inter, line 2, column 3 (timestamp:float): found `881250949.25`, expected a whole number; write it in a finer \
         unit, e.g. milliseconds, so that no time is rounded"
    );
    let file = LogFile::new("log.csv", "user,item,time\n\n\"a\nb\",2,1e40\n");
    assert_eq!(
        file.error("auto"),
        "log.csv, line 3, column 3 (time): found `1e40`, expected a time within 64 bits; write it in a coarser unit, e.g. \
         seconds"
    );
}

#[test]
fn a_missing_column_lists_those_there_are_and_the_nearest() {
    let file = LogFile::new("log.csv", "customer_id,stock_code,when\nu,a,1\n");
    assert_eq!(
        file.error("csv:user=CustomerId,item=stock_code,time=when"),
        "log.csv, line 1: no user column named `CustomerId`; the columns are customer_id, stock_code, when; the nearest is \
         `customer_id`; name the column (user=NAME), or another delimiter or format"
    );
    assert_eq!(
        file.error("csv"),
        "log.csv, line 1: no time column under any of the common names; the columns are customer_id, stock_code, when; name \
         the column (time=NAME), or read the log in file order (time=none)"
    );
    assert!(
        file.error("csv:item=quantity")
            .starts_with("log.csv, line 1: no item column named `quantity`; the columns are")
    );
    assert!(!file.error("csv:item=quantity").contains("nearest"));
    let file = LogFile::new(
        "x.inter",
        "user_id:token\titem_id_list:token_seq\ttimestamp:float\nu\ta b\t1\n",
    );
    assert_eq!(
        file.error("auto"),
        "x.inter, line 1: no item column under any of the common names; the columns are user_id:token, \
         item_id_list:token_seq, timestamp:float; name the column (item=NAME), or another delimiter or format"
    );
}

#[test]
fn too_few_and_too_many_fields_name_the_first_that_is_off() {
    let file = LogFile::new("ratings.dat", "1::2::3::4\n1::2::3\n");
    assert_eq!(
        file.error("movielens-dat"),
        "ratings.dat, line 2, column 4 (time): found 3 fields in `1::2::3`, expected 4: user, item, rating, time; complete \
         or drop the line, or name another format or delimiter"
    );
    let file = LogFile::new(
        "log.csv",
        "user,item,ts\nu,a,1\nu,Plates, small, white and very very long indeed,1\n",
    );
    assert_eq!(
        file.error("auto"),
        "log.csv, line 3, column 4 (past the last): found 5 fields in `u,Plates, small, white and very very lon…`, expected \
         3: user, item, ts; quote a field that holds the delimiter, or name another format"
    );
    let file = LogFile::new("log.txt", "u a b\nv\n");
    assert_eq!(
        file.error("sequences"),
        "log.txt, line 2, column 2 (item): found 1 fields in `v`, expected a user and at least one item; complete or drop \
         the line"
    );
    assert!(
        LogFile::new("log.txt", "u a\nv a b\n")
            .error("pairs")
            .starts_with("log.txt, line 2, column 3 (past the last)")
    );
}

#[test]
fn an_empty_token_is_no_user_and_no_item() {
    let file = LogFile::new("log.csv", "user,item,ts\nu, ,1\n");
    assert_eq!(
        file.error("auto"),
        "log.csv, line 2, column 2 (item): found an empty field, expected an item; fill it in or drop the line"
    );
    assert!(
        LogFile::new("log.csv", "user,item,ts\n\"\",a,1\n")
            .error("auto")
            .contains("column 1 (user): found an empty")
    );
}

#[test]
fn a_log_without_events_is_refused() {
    assert_eq!(
        LogFile::new("log.csv", "user,item,ts\n\n").error("auto"),
        "log.csv: no events after 2 lines; expected at least one interaction (format `csv`)"
    );
    for format in [
        "auto",
        "csv",
        "recbole",
        "pairs",
        "sequences",
        "movielens-dat",
        "movielens-csv",
        "movielens-data",
        "amazon-ratings",
        "mind",
        "jsonl",
    ] {
        for content in [Vec::new(), b" \n\n".to_vec(), gzip("")] {
            let error = LogFile::new("log", &content).read(format).unwrap_err();
            assert!(matches!(error, LogError::Empty { .. }), "{format}: {error}");
        }
    }
}

#[test]
fn missing_and_unreadable_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &Path| read_log(path, &LogFormat::Auto).unwrap_err();
    let path = folder.path().join("none.csv");
    assert_eq!(
        read(&path).to_string(),
        format!(
            "{}: no such file; check the path of the interaction log",
            path.display()
        )
    );
    let error = read(folder.path());
    assert!(matches!(error, LogError::Unreadable { .. }), "{error}");
    assert_eq!(error.path(), folder.path());
}

#[test]
fn a_truncated_gzip_says_how_far_it_got() {
    // Numbers that do not repeat, so that the half of the bytes holds some whole lines and not all.
    let text: String = (0..5000u64)
        .map(|at| format!("{} {}\n", at % 97, at * at * 2_654_435_761 % 1_000_003))
        .collect();
    let packed = gzip(&text);
    for end in [5, packed.len() / 2, packed.len() - 4] {
        let error = LogFile::new("log.gz", &packed[..end])
            .read("pairs")
            .unwrap_err();
        let LogError::TruncatedGzip {
            compressed,
            decompressed,
            lines,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(*compressed, end);
        assert_eq!(
            *lines,
            text.as_bytes()[..*decompressed]
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count()
        );
        assert!(end < 10 || *lines > 100, "{lines}");
    }
    let file = LogFile::new("log.gz", &packed[..packed.len() - 4]);
    assert_eq!(
        file.error("pairs"),
        format!(
            "log.gz: the gzip data end too early: {} bytes gave {} bytes (5000 whole lines) and no end mark; nothing of it \
             is used, copy or download the file again",
            packed.len() - 4,
            text.len()
        )
    );
    let mut damaged = packed.clone();
    let checksum_at = packed.len() - 8;
    damaged[checksum_at] ^= 1;
    let error = LogFile::new("log.gz", damaged).error("pairs");
    assert!(
        error.starts_with("log.gz: the gzip data are damaged after"),
        "{error}"
    );
}

#[test]
fn bytes_that_are_not_utf8_are_located() {
    let file = LogFile::new("log.csv", b"user,item,ts\nu,a,1\nu,caf\xe9,2\n");
    assert_eq!(
        file.error("auto"),
        "log.csv, line 3, byte 6 of the line: found 0xe9, expected UTF-8 text; convert the file, e.g. with `iconv -f LATIN1 \
         -t UTF-8`"
    );
}

#[test]
fn too_many_items_say_where_the_first_one_too_much_stands() {
    let at = Box::new(Location {
        path: "log.csv".into(),
        line: 9,
        column: 2,
        name: "item".into(),
    });
    assert_eq!(
        LogError::TooMany {
            at,
            what: "items",
            limit: u32::MAX
        }
        .to_string(),
        "log.csv, line 9, column 2 (item): found more than 4294967295 distinct items, expected at most that many; split the log"
    );
}

#[test]
fn an_unknown_format_says_what_was_tried() {
    let file = LogFile::new("log.txt", "1 2 5 881250949\n1 3 4 881250950\n");
    assert_eq!(
        file.error("auto"),
        "log.txt, line 1: the format cannot be told; found `1 2 5 881250949`; tried recbole: the first line is no `name:type` \
         header; jsonl: a line does not begin with `{`; csv, tsv: the first line names no user and item column; movielens-dat: \
         not four fields with `::` between; movielens-data: not four fields with tabs between, the last a time; mind: not \
         five fields with tabs between, the third a time of MIND; amazon-ratings: not user, item, rating, time with products \
         of ten capitals and digits; pairs, sequences: user `1` is on several lines, \
         of more than two fields; name the format, e.g. csv:user=NAME,item=NAME,time=NAME or sequences"
    );
    for (content, why) in [
        (
            "1 2 881250949\n2 3 881250950\n",
            "every line ends in what looks like a unix time",
        ),
        ("1,2,3\n2,3,4\n", "every line has `,` in it"),
        ("only\nwords\n", "a line has one field only"),
    ] {
        let error = LogFile::new("log", content).error("auto");
        assert!(error.contains(why), "{error}");
    }
    let error = LogFile::new("log.csv", "a b\n1 2\n").error("auto");
    assert!(
        error.contains("a .csv file should have a header"),
        "{error}"
    );
}
