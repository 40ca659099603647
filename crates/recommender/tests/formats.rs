//! Each format read from a few lines, named and detected.

mod support;

use recommender::{LogFormat, detect_format};
use support::{LogFile, gzip, histories, read};

/// The histories that most texts here stand for.
const IN_TIME: [&str; 2] = ["7: c a b", "3: a c"];

#[test]
fn movielens_data_is_ordered_by_time_and_ties_by_file_order() {
    let text =
        "7\ta\t5\t881250949\n3\ta\t1\t10\n7\tb\t2\t881250949\n7\tc\t3\t881250000\n3\tc\t4\t10\n";
    let (found, times) = read("u.data", text, "movielens-data");
    assert_eq!(found, IN_TIME);
    assert_eq!(
        times,
        [
            Some(vec![881_250_000, 881_250_949, 881_250_949]),
            Some(vec![10, 10])
        ]
    );
}

#[test]
fn movielens_dat_splits_at_double_colons() {
    let text = "7::a::5::1365029109\n3::a::8::1365029107\n7::b::7::1365029110\n7::c::9::1365029100\n3::c::7::1365029108\n";
    assert_eq!(read("ratings.dat", text, "movielens-dat").0, IN_TIME);
    assert_eq!(read("odd-name", text, "movielens-dat").0, IN_TIME);
}

#[test]
fn movielens_csv_has_its_header() {
    let text = "userId,movieId,rating,timestamp\r\n7,a,3.5,11\r\n3,a,4.0,1\r\n7,b,4.0,12\r\n7,c,4.0,10\r\n3,c,4.0,2\r\n";
    let file = LogFile::new("ratings.csv", text);
    assert_eq!(
        detect_format(&file.path()).unwrap(),
        LogFormat::MovieLensCsv
    );
    assert_eq!(read("ratings.csv", text, "movielens-csv").0, IN_TIME);
}

#[test]
fn recbole_times_are_exact_integers_even_in_a_float_column() {
    let text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n\
                7\ta\t3.5\t9007199254740993\n3\ta\t4\t1.0\n7\tb\t4\t9.007199254740993E15\n7\tc\t4\t9007199254740992.0\n3\tc\t4\t2\n";
    let (found, times) = read("ml.inter", text, "recbole");
    assert_eq!(found, IN_TIME);
    // 2^53 + 1 is no f64: a float would have tied the three.
    assert_eq!(
        times[0],
        Some(vec![
            9_007_199_254_740_992,
            9_007_199_254_740_993,
            9_007_199_254_740_993
        ])
    );
}

#[test]
fn recbole_columns_go_by_name() {
    let text =
        "timestamp:float\trating:float\titem_id:token\tuser_id:token\n2\t1\ta\t7\n1\t1\tc\t7\n";
    assert_eq!(read("renamed.txt", text, "recbole").0, ["7: c a"]);
    assert_eq!(
        read(
            "ml.inter",
            "user_id:token\titem_id:token\n7\tc\n7\ta\n",
            "recbole"
        )
        .0,
        ["7: c a"]
    );
}

#[test]
fn tables_find_common_names_and_any_delimiter() {
    let retail = "CustomerID\tts\tStockCode\tQuantity\n7\t20\ta\t1\n3\t1\ta\t9\n7\t20\tb\t2\n7\t19\tc\t1\n3\t1\tc\t1\n";
    assert_eq!(read("events.tsv", retail, "tsv").0, IN_TIME);
    let clicks = "timestamp;visitorid;event;itemid\n20;7;view;a\n1;3;view;a\n21;7;view;b\n19;7;view;c\n1;3;view;c\n";
    assert_eq!(read("clicks.csv", clicks, "table").0, IN_TIME);
    assert_eq!(
        read("clicks.csv", clicks, "table:delimiter=semicolon").0,
        IN_TIME
    );
    let amazon =
        "user_id|parent_asin|rating|timestamp\n7|c|5|1\n3|a|5|1\n7|a|5|2\n7|b|5|3\n3|c|5|2\n";
    assert_eq!(
        read("reviews", amazon, "table:delimiter=bar").0[0],
        "7: c a b"
    );
    assert_eq!(
        read(
            "dates.csv",
            "customer,product,date\n7,b,2011-12-09\n7,a,2010-01-31\n",
            "csv"
        )
        .0,
        ["7: a b"]
    );
}

#[test]
fn a_table_of_users_and_items_alone_is_in_time_order() {
    let (found, times) = read(
        "log.csv",
        "user_id,item_id\n7,c\n3,a\n7,a\n7,b\n3,c\n",
        "csv",
    );
    assert_eq!(found, IN_TIME);
    assert_eq!(times, [None, None]);
}

#[test]
fn named_columns_are_taken_as_named() {
    let file = LogFile::new("log.csv", "user,who,item,what,t\nx,7,y,a,3\nx,7,y,c,1\n");
    assert_eq!(
        histories(&file.read("csv:user=who,item=what,time=t").unwrap()),
        ["7: c a"]
    );
    assert_eq!(
        histories(&file.read("csv:user=who,item=what,time=none").unwrap()),
        ["7: a c"]
    );
}

#[test]
fn quoted_fields_are_unquoted() {
    let text = "\"user_id\",\"item_id\",\"timestamp\"\n\"Smith, A.\",\"12\"\" plate\",\"2\"\n\"Smith, A.\",\"two\nlines\",\"1\"\n";
    let file = LogFile::new("log.csv", text);
    assert_eq!(
        histories(&file.read("auto").unwrap()),
        ["Smith, A.: two\nlines 12\" plate"]
    );
}

#[test]
fn pairs_are_in_file_order_and_scattered_users_are_gathered() {
    let text = "7 c\n3 a\n7 a\n\n7 b\n3 c\n";
    let file = LogFile::new("ml.txt", text);
    assert_eq!(detect_format(&file.path()).unwrap(), LogFormat::Pairs);
    assert_eq!(read("ml.txt", text, "pairs").0, IN_TIME);
}

#[test]
fn sequences_are_one_history_a_line() {
    let text = "7 c a b\n3\ta c";
    let file = LogFile::new("Beauty.txt", text);
    assert_eq!(detect_format(&file.path()).unwrap(), LogFormat::Sequences);
    assert_eq!(read("Beauty.txt", text, "sequences").0, IN_TIME);
    assert_eq!(
        histories(
            &LogFile::new("b.txt", "7 c a\n3 a c\n7 b\n")
                .read("sequences")
                .unwrap()
        ),
        IN_TIME
    );
}

#[test]
fn gzip_is_known_by_its_bytes_and_leaves_the_checksum_as_it_is() {
    let text = "7 c\n3 a\n7 a\n7 b\n3 c\n";
    let plain = LogFile::new("ml.txt", text).read("auto").unwrap();
    let mut two_members = gzip(&text[..9]);
    two_members.extend(gzip(&text[9..]));
    for (name, bytes) in [
        ("ml.txt.gz", gzip(text)),
        ("ml.txt", gzip(text)),
        ("parts.gz", two_members),
    ] {
        let packed = LogFile::new(name, bytes).read("auto").unwrap();
        assert_eq!(packed, plain, "{name}");
    }
    assert_eq!(
        plain.checksum(),
        blake3::hash(text.as_bytes()).to_hex().as_str()
    );
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_name() {
    let file = LogFile::new("log.csv", "\u{feff}user_id,item_id,ts\nu,a,1\n");
    assert_eq!(histories(&file.read("auto").unwrap()), ["u: a"]);
}

#[test]
fn format_strings_round_trip() {
    for text in [
        "auto",
        "movielens-data",
        "movielens-dat",
        "movielens-csv",
        "amazon-ratings",
        "amazon-ratings-2018",
        "recbole",
        "mind",
        "pairs",
        "sequences",
        "csv",
        "tsv",
    ] {
        assert_eq!(text.parse::<LogFormat>().unwrap().to_string(), text);
    }
    for text in [
        "table",
        "jsonl",
        "jsonl:user=reviewerID,time=none",
        "jsonl:time=none,rating=none",
        "csv:rating=my\\,stars",
        "parquet:item=a\\,b",
        "table:delimiter=semicolon",
        "csv:user=a b,item=c\\,d",
        "tsv:time=none",
        "csv:time=\\none",
    ] {
        assert_eq!(text.parse::<LogFormat>().unwrap().to_string(), text);
    }
    let refused = |text: &str| text.parse::<LogFormat>().unwrap_err().to_string();
    assert_eq!(
        refused("feather"),
        "log format `feather`: no such format; expected auto, csv, tsv, table, jsonl, parquet, movielens-data, movielens-dat, \
         movielens-csv, amazon-ratings, amazon-ratings-2018, recbole, mind, pairs or sequences"
    );
    assert!(refused("pairs:user=x").contains("pairs takes no options"));
    assert!(refused("csv:who=x").contains("no option `who`"));
    assert!(refused("jsonl:delimiter=tab").contains("no option `delimiter`"));
    assert!(refused("csv:user").contains("option `user` has no value"));
    assert!(refused("table:delimiter=ab").contains("delimiter `ab` is not one character"));
    assert!(refused("table:delimiter=\"").contains("cannot stand between fields"));
}

#[test]
fn ratings_are_kept_in_the_order_of_their_events_and_must_be_numbers() {
    let text = "user,item,time,rating,stars\n7,a,20,5,1\n3,a,1,0.5,1\n7,b,20,-2,1\n7,c,19,1e0,1\n3,c,1,3,x\n";
    let file = LogFile::new("log.csv", text);
    let log = file.read("auto").unwrap();
    assert_eq!(histories(&log), IN_TIME);
    assert_eq!(
        (log.ratings(0), log.ratings(1)),
        (Some(&[1.0, 5.0, -2.0][..]), Some(&[0.5, 3.0][..]))
    );
    assert!(!file.read("csv:rating=none").unwrap().has_ratings());
    assert_eq!(
        file.error("csv:rating=stars"),
        "log.csv, line 6, column 5 (stars): found `x`, expected a number as rating; fill it in, or leave ratings out \
         (rating=none)"
    );
    assert!(
        file.error("csv:rating=score")
            .contains("no rating column named `score`")
    );
    let empty = LogFile::new("log.csv", "user,item,time,rating\n7,a,20,NaN\n");
    assert!(
        empty
            .error("auto")
            .contains("found `NaN`, expected a number as rating")
    );
    let data = LogFile::new("u.data", "7\ta\t5\t20\n7\tb\t2\t10\n")
        .read("auto")
        .unwrap();
    assert_eq!(data.ratings(0), Some(&[2.0, 5.0][..]));
}
