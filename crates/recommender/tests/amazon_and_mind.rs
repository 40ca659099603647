//! Amazon's reviews, as ratings and as JSON lines, and MIND's behaviours.

mod support;

use support::{LogFile, gzip, histories, read};

/// The histories that most texts here stand for.
const IN_TIME: [&str; 2] = ["7: c a b", "3: a c"];

#[test]
fn amazon_ratings_are_told_by_which_column_holds_products() {
    let lines = [
        ("A1YJEY40YUW4SE", "B00000000C", 2),
        ("A3", "B00000000A", 1),
        ("A1YJEY40YUW4SE", "7806397051", 1),
    ];
    let text = |product_first: bool| -> String {
        let line = |(user, item, time): &(&str, &str, i64)| match product_first {
            true => format!("{item},{user},5.0,140000000{time}\n"),
            false => format!("{user},{item},5.0,140000000{time}\n"),
        };
        lines.iter().map(line).collect()
    };
    let expected = ["A1YJEY40YUW4SE: 7806397051 B00000000C", "A3: B00000000A"];
    assert_eq!(
        read("ratings_Beauty.csv", &text(false), "amazon-ratings").0,
        expected
    );
    assert_eq!(
        read("Beauty.csv", &text(true), "amazon-ratings-2018").0,
        expected
    );
}

#[test]
fn json_lines_find_the_keys_of_both_amazon_editions() {
    let old = r#"{"reviewerID": "7", "asin": "a", "overall": 5.0, "reviewText": "{\"q\": 1}", "unixReviewTime": 20}
{"overall": 4, "asin": "a", "reviewerID": "3", "unixReviewTime": 1}

{"overall": 3.5, "reviewerID": "7", "asin": "b", "unixReviewTime": 20.0}
{"overall": 2, "reviewerID": 7, "asin": "c", "unixReviewTime": "19"}
{"overall": 1, "reviewerID": "3", "asin": "c", "unixReviewTime": 1}
"#;
    let (found, times) = read("reviews.json", old, "jsonl");
    assert_eq!(found, IN_TIME);
    assert_eq!(times[0], Some(vec![19, 20, 20]));
    let packed = LogFile::new("reviews.json.gz", gzip(old))
        .read("auto")
        .unwrap();
    assert_eq!(histories(&packed), IN_TIME);
    assert_eq!(packed.ratings(0), Some(&[2.0, 5.0, 3.5][..]));
    let new = r#"{"rating": 5.0, "asin": "x", "parent_asin": "a", "user_id": "7", "timestamp": 1588687728923}
{"rating": 1.0, "asin": "y", "parent_asin": "c", "user_id": "7", "timestamp": 1588687728922}
"#;
    assert_eq!(read("reviews.jsonl", new, "jsonl").0, ["7: c a"]);
    let named = LogFile::new("reviews.jsonl", new)
        .read("jsonl:item=asin,time=none")
        .unwrap();
    assert_eq!(histories(&named), ["7: x y"]);
}

#[test]
fn mind_is_a_history_and_then_the_clicks_in_order_of_time() {
    let text = "1\tu\t11/12/2019 2:14:46 PM\tN1 N2 N1\tN3-0 N4-1\n\
                2\tv\t11/11/2019 2:00:00 AM\t\tN5-1\n\
                3\tu\t11/12/2019 9:00:00 AM\tN1 N2 N1\tN2-1 N5-1 N6-0\n";
    let (found, times) = read("behaviors.tsv", text, "mind");
    assert_eq!(found, ["u: N1 N2 N1 N2 N5 N4", "v: N5"]);
    assert_eq!(times, [None, None]);
}

#[test]
fn a_broken_object_and_a_missing_key_say_where() {
    let file = LogFile::new(
        "r.jsonl",
        "{\"user\": 1, \"item\": 2, \"time\": 3}\n{'user': 1}\n",
    );
    assert_eq!(
        file.error("auto"),
        "r.jsonl, line 2, column 2 (character of the line): found `{\\'user\\': 1}`, expected one JSON object a line; write \
         each object on a line of its own, with double quotes (JSON, not Python)"
    );
    let file = LogFile::new(
        "r.jsonl",
        "{\"user\": 1, \"item\": 2, \"time\": 3}\n{\"user\": 1, \"items\": 2}\n",
    );
    let error = file.error("auto");
    assert!(
        error.starts_with(
            "r.jsonl, line 2: no item column named `item`; the columns are items, user"
        ),
        "{error}"
    );
    let file = LogFile::new("r.jsonl", "{\"user\": 1, \"item\": null, \"time\": 3}\n");
    assert!(
        file.error("auto")
            .contains("column 1 (item): found `null`, expected a text or a number")
    );
}

#[test]
fn mind_without_labels_is_refused() {
    let file = LogFile::new("behaviors.tsv", "1\tu\t11/12/2019 2:14:46 PM\tN1\tN3 N4\n");
    assert_eq!(
        file.error("auto"),
        "behaviors.tsv, line 1, column 5 (impressions): found `N3`, expected ITEM-1 where it was clicked and ITEM-0 where \
         not; use a part of the data with labels, not the test part"
    );
    let file = LogFile::new("behaviors.tsv", "1\tu\t2019-11-12\tN1\tN3-1\n");
    assert!(
        file.error("mind")
            .contains("column 3 (time): found `2019-11-12`, expected a time such as 11/12/2019")
    );
}
