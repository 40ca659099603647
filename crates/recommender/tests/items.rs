//! What files say about items.

mod support;

use recommender::data::{ItemColumns, ItemFeatures, read_items};
use recommender::{Interactions, LogError};
use support::{LogFile, gzip, public_path};

fn log() -> Interactions {
    LogFile::new("log.csv", "user,item,time\nu,7,1\nu,B1,2\nu,9,3\n")
        .read("csv")
        .unwrap()
}

fn read(content: impl AsRef<[u8]>, columns: &ItemColumns) -> Result<ItemFeatures, LogError> {
    read_items(&LogFile::new("items", content).path(), columns, &log())
}

/// Title and categories of each item of the log.
fn said(features: &ItemFeatures) -> Vec<(Option<&str>, Vec<&str>)> {
    (0..features.items() as u32)
        .map(|item| {
            let names = features.categories(item).iter();
            (
                features.title(item),
                names
                    .map(|&category| features.category_name(category))
                    .collect(),
            )
        })
        .collect()
}

#[test]
fn every_layout_says_the_same() {
    let layouts = [
        "item,title,genres\n9,Heat,Crime|Drama\n1,Speed,Action\n7,\"Fargo, again\",Drama\n",
        "9::Heat::Crime|Drama\n1::Speed::Action\n7::Fargo, again::Drama\n",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n9\tHeat\t1995\tCrime Drama\n1\tSpeed\t1994\tAction\n7\tFargo, again\t1996\tDrama\n",
        "9\tCrime\tDrama\tHeat\tabstract\turl\t[]\t[]\n1\tAction\t\tSpeed\t\t\t[]\t[]\n7\tDrama\tDrama\tFargo, again\t\t\t[]\t[]\n",
        "{\"asin\": 9, \"title\": \"Heat\", \"categories\": [[\"Crime\", \"Drama\"]]}\n{\"asin\": \"1\"}\n{\"asin\": \"7\", \"category\": [\"Drama\"], \"title\": \"Fargo, again\"}\n",
    ];
    for layout in layouts {
        for content in [layout.as_bytes().to_vec(), gzip(layout)] {
            let features = read(content, &ItemColumns::default()).unwrap();
            let expected = [
                (Some("Fargo, again"), vec!["Drama"]),
                (None, vec![]),
                (Some("Heat"), vec!["Crime", "Drama"]),
            ];
            assert_eq!(said(&features), expected, "{layout}");
            assert_eq!(
                (
                    features.described(),
                    features.unknown(),
                    features.category_count() >= 2
                ),
                (2, 1, true)
            );
        }
    }
}

#[test]
fn brands_are_categories_and_the_first_line_of_an_item_counts() {
    let text = "{\"parent_asin\": \"B1\", \"title\": \"Soap\", \"main_category\": \"Beauty\", \"store\": \"Acme\", \"categories\": [\"Beauty\", \"Bath\"]}\n\
                {\"parent_asin\": \"B1\", \"title\": \"Other\"}\n";
    let features = read(text, &ItemColumns::default()).unwrap();
    assert_eq!(
        said(&features)[1],
        (Some("Soap"), vec!["Beauty", "Bath", "brand: Acme"])
    );
}

#[test]
fn named_columns_are_taken_and_must_be_there() {
    let text = "number\tfilm\tkind\n7\tFargo\tDrama\n";
    let columns = ItemColumns {
        item: "number".to_string(),
        title: "film".to_string(),
        category: "kind".to_string(),
    };
    assert_eq!(
        said(&read(text, &columns).unwrap())[0],
        (Some("Fargo"), vec!["Drama"])
    );
    let wrong = ItemColumns {
        title: "films".to_string(),
        ..columns
    };
    let error = read(text, &wrong).unwrap_err().to_string();
    assert!(
        error.contains("no title column named `films`") && error.contains("nearest is `film`"),
        "{error}"
    );
    let error = read(text, &ItemColumns::default()).unwrap_err().to_string();
    assert!(
        error.contains("no item column under any of the common names"),
        "{error}"
    );
}

#[test]
fn public_logs_have_their_titles() {
    for (log, items, item, described) in [
        (
            "ml-1m/ml-1m.txt.gz",
            "ml-1m/items_sas_titles.tsv",
            "sas_item",
            3_416,
        ),
        ("ml-100k/ml-100k.inter", "ml-100k/ml-100k.item", "", 1_682),
        (
            "movietweetings-100k/ratings.dat",
            "movietweetings-100k/movies.dat",
            "",
            10_506,
        ),
        (
            "online-retail/events_2009_2011.tsv.gz",
            "online-retail/products_2009_2011.tsv.gz",
            "",
            4_619,
        ),
        ("mind-subset/behaviors.tsv", "mind-subset/news.tsv", "", 638),
    ] {
        let (Some(log), Some(path)) = (support::public_log(log, "auto"), public_path(items)) else {
            continue;
        };
        let columns = ItemColumns {
            item: item.to_string(),
            ..ItemColumns::default()
        };
        let features = read_items(&path, &columns, &log).unwrap();
        println!(
            "{items}: {} described, {} unknown, {} categories",
            features.described(),
            features.unknown(),
            features.category_count()
        );
        assert_eq!(features.described(), described, "{items}");
    }
}
