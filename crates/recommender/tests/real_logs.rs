//! Public logs, where the folder named by `ATTNBENCH_DATA` has them.

mod support;

use support::public_log;

/// File, format it is, users, items, events.
const LOGS: [(&str, &str, [usize; 3]); 6] = [
    ("ml-1m/ml-1m.txt.gz", "pairs", [6_040, 3_416, 999_611]),
    ("ml-100k/ml-100k.inter", "recbole", [943, 1_682, 100_000]),
    (
        "amazon-beauty/Beauty.txt",
        "sequences",
        [22_363, 12_101, 198_502],
    ),
    (
        "online-retail/events_2009_2011.tsv.gz",
        "tsv",
        [5_853, 4_619, 788_247],
    ),
    (
        "movietweetings-100k/ratings.dat",
        "movielens-dat",
        [16_554, 10_506, 100_000],
    ),
    (
        "mind-subset/behaviors.tsv",
        "mind",
        [4_637, 17_628, 146_474],
    ),
];

#[test]
fn public_logs_have_their_known_sizes() {
    for (file, format, sizes) in LOGS {
        let Some(log) = public_log(file, "auto") else {
            continue;
        };
        assert_eq!([log.users(), log.items(), log.events()], sizes, "{file}");
        assert_eq!(
            Some(&log),
            public_log(file, format).as_ref(),
            "{file} is told as another format"
        );
        println!("{file}: {}", log.statistics());
    }
}
