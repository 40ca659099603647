//! Splits, cores and batches against their definitions.

mod support;

use std::collections::HashMap;

use proptest::prelude::*;
use recommender::prepare::{JaggedBatch, Leakage, k_core};
use recommender::{History, Holdout, Interactions, Part, PrepareError, Split, Targets};
use support::{LogFile, histories, public_log};

/// A log with times from `(user, item, time)`.
fn timed(events: &[(u8, u8, i64)]) -> Interactions {
    let lines = events
        .iter()
        .map(|(user, item, time)| format!("u{user},i{item},{time}\n"));
    let text: String = std::iter::once("user,item,time\n".to_string())
        .chain(lines)
        .collect();
    LogFile::new("log.csv", text).read("csv").unwrap()
}

fn parts(split: &Split<'_>, user: usize) -> [Vec<i64>; 3] {
    [Part::Train, Part::Validation, Part::Test]
        .map(|part| split.history(user, part).times.unwrap().to_vec())
}

#[test]
fn baskets_are_held_out_whole() {
    let log = timed(&[
        (0, 1, 5),
        (0, 2, 5),
        (0, 3, 7),
        (0, 1, 9),
        (0, 4, 9),
        (1, 1, 3),
        (1, 2, 4),
        (1, 3, 4),
    ]);
    let split = Split::new(&log, Holdout::LeaveLastBasketOut).unwrap();
    assert_eq!(parts(&split, 0), [vec![5, 5], vec![7], vec![9, 9]]);
    // Two baskets are too few to hold any out.
    assert_eq!(parts(&split, 1), [vec![3, 4, 4], vec![], vec![]]);
    let test = split.cases(Part::Test, Targets::All);
    assert_eq!((test.list.len(), test.list[0].targets), (1, &[0, 3][..]));
    assert_eq!(test.list[0].history.times, Some(&[5, 5, 7][..]));
    assert_eq!(split.cases(Part::Test, Targets::First).list[0].targets, [0]);
    let untimed = Interactions::from_histories(&[vec![0, 1, 2]], 3);
    let message = Split::new(&untimed, Holdout::LeaveLastBasketOut)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("needs the time of every event"),
        "{message}"
    );
}

#[test]
fn a_global_cut_is_the_same_for_everyone_and_newcomers_are_counted() {
    let log = timed(&[
        (0, 1, 1),
        (0, 2, 5),
        (0, 3, 8),
        (1, 2, 2),
        (1, 3, 3),
        (2, 1, 9),
        (2, 2, 9),
        (0, 4, 8),
    ]);
    let holdout = Holdout::GlobalTime {
        validation_from: 5,
        test_from: 8,
    };
    let split = Split::new(&log, holdout).unwrap();
    assert_eq!(parts(&split, 0), [vec![1], vec![5], vec![8, 8]]);
    assert_eq!(parts(&split, 1), [vec![2, 3], vec![], vec![]]);
    let test = split.cases(Part::Test, Targets::All);
    assert_eq!((test.list.len(), test.without_history), (1, 1));
    assert_eq!(test.list[0].history.len(), 2);
    assert_eq!(
        Holdout::global_time(&log, 0.5, 0.75),
        Ok(Holdout::GlobalTime {
            validation_from: 8,
            test_from: 9
        })
    );
    let refused = |validation, test| Holdout::global_time(&log, validation, test).unwrap_err();
    assert!(matches!(refused(0.9, 0.8), PrepareError::Shares { .. }));
    assert!(matches!(refused(0.5, 1.0), PrepareError::Shares { .. }));
    assert!(matches!(
        refused(f64::NAN, 0.8),
        PrepareError::Shares { .. }
    ));
    let backwards = Holdout::GlobalTime {
        validation_from: 9,
        test_from: 5,
    };
    assert!(matches!(
        Split::new(&log, backwards),
        Err(PrepareError::Order { .. })
    ));
}

#[test]
fn events_at_one_time_leak_through_leave_one_out_and_not_through_baskets() {
    let log = timed(&[(0, 1, 5), (0, 2, 6), (0, 3, 7), (0, 4, 7), (0, 4, 7)]);
    let found = |holdout| Leakage::of(&Split::new(&log, holdout).unwrap());
    let one_out = found(Holdout::LeaveOneOut);
    assert_eq!(
        (one_out.held_out, one_out.same_time, one_out.duplicated),
        (2, 2, 1)
    );
    let baskets = found(Holdout::LeaveLastBasketOut);
    assert_eq!(
        (baskets.held_out, baskets.same_time, baskets.duplicated),
        (4, 0, 0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parts_are_the_history_and_nothing_held_out_is_before_them(
        events in proptest::collection::vec((0u8..6, 0u8..9, 0i64..12), 1..60),
        first in 0i64..12,
        second in 0i64..12,
    ) {
        let log = timed(&events);
        let global = Holdout::GlobalTime { validation_from: first.min(second), test_from: first.max(second) };
        for holdout in [Holdout::LeaveOneOut, Holdout::LeaveLastBasketOut, global] {
            let split = Split::new(&log, holdout).unwrap();
            prop_assert!(Leakage::of(&split).is_sound(holdout));
            for user in 0..log.users() {
                let [train, validation, test] = parts(&split, user);
                prop_assert_eq!([&train[..], &validation, &test].concat(), log.times(user).unwrap());
                match holdout {
                    Holdout::LeaveOneOut => {
                        let held_out = usize::from(log.history(user).len() >= 3);
                        prop_assert_eq!((validation.len(), test.len()), (held_out, held_out));
                    }
                    Holdout::LeaveLastBasketOut => {
                        for (part, before) in [(&test, &validation), (&validation, &train)] {
                            prop_assert!(part.windows(2).all(|pair| pair[0] == pair[1]));
                            prop_assert!(part.is_empty() || before.last() < part.first());
                        }
                        let mut times = log.times(user).unwrap().to_vec();
                        times.dedup();
                        prop_assert_eq!(test.is_empty(), times.len() < 3);
                    }
                    _ => {
                        let (validation_from, test_from) = (first.min(second), first.max(second));
                        prop_assert!(train.iter().all(|&time| time < validation_from));
                        prop_assert!(validation.iter().all(|time| (validation_from..test_from).contains(time)));
                        prop_assert!(test.iter().all(|&time| time >= test_from));
                    }
                }
            }
        }
    }

    #[test]
    fn a_core_is_what_dropping_one_at_a_time_leaves(
        events in proptest::collection::vec((0u8..8, 0u8..8, 0i64..5), 1..60),
        users in 0usize..5,
        items in 0usize..5,
    ) {
        let log = timed(&events);
        let mut left: Vec<(usize, u32)> = (0..log.users())
            .flat_map(|user| log.history(user).iter().map(move |&item| (user, item)))
            .collect();
        loop {
            let (mut of_user, mut of_item) = (HashMap::new(), HashMap::new());
            for &(user, item) in &left {
                *of_user.entry(user).or_insert(0usize) += 1;
                *of_item.entry(item).or_insert(0usize) += 1;
            }
            let Some(weak) = left.iter().copied().find(|(u, i)| of_user[u] < users || of_item[i] < items) else {
                break;
            };
            if of_user[&weak.0] < users {
                left.retain(|event| event.0 != weak.0);
            } else {
                left.retain(|event| event.1 != weak.1);
            }
        }
        let core = k_core(&log, users, items);
        let named: Vec<(&str, &str)> = left.iter().map(|&(u, i)| (log.user_name(u), log.item_name(i))).collect();
        let found: Vec<(&str, &str)> = (0..core.users())
            .flat_map(|user| core.history(user).iter().map(move |&item| (user, item)))
            .map(|(user, item)| (core.user_name(user), core.item_name(item)))
            .collect();
        prop_assert_eq!(found, named);
        let again = k_core(&core, users, items);
        prop_assert_eq!(again.jagged(), core.jagged());
    }
}

#[test]
fn a_core_keeps_names_times_and_order_and_has_a_checksum_of_its_own() {
    let log = timed(&[
        (0, 1, 9),
        (1, 2, 5),
        (0, 3, 4),
        (2, 3, 7),
        (2, 1, 8),
        (1, 9, 6),
    ]);
    let core = k_core(&log, 2, 2);
    assert_eq!(histories(&core), ["u0: i3 i1", "u2: i3 i1"]);
    assert_eq!(core.times(1), Some(&[7, 8][..]));
    assert_ne!(core.checksum(), log.checksum());
    assert_ne!(core.checksum(), k_core(&log, 1, 2).checksum());
    assert_eq!(histories(&k_core(&log, 0, 0)), histories(&log));
}

#[test]
fn ratings_stay_with_their_events() {
    let text = "user,item,time,rating\nu,a,3,1\nu,b,1,2\nv,a,1,3\nu,c,2,4\nu,a,4,5\n";
    let log = LogFile::new("log.csv", text).read("csv").unwrap();
    let split = Split::new(&log, Holdout::LeaveOneOut).unwrap();
    assert_eq!(split.history(0, Part::Validation).ratings, Some(&[1.0][..]));
    let test = split.cases(Part::Test, Targets::All);
    let batch = JaggedBatch::recent(&[test.list[0].history], 2);
    assert_eq!(batch.ratings, Some(vec![4.0, 1.0]));
    assert_eq!(k_core(&log, 2, 2).ratings(0), Some(&[1.0, 5.0][..]));
}

#[test]
fn batches_keep_times_only_where_all_have_them() {
    let history = |items: &'static [u32], times: Option<&'static [i64]>| History {
        items,
        times,
        ratings: None,
    };
    let both = [
        history(&[1, 2, 3], Some(&[7, 8, 9])),
        history(&[4], Some(&[5])),
    ];
    let batch = JaggedBatch::recent(&both, 2);
    assert_eq!(
        (batch.offsets, batch.items, batch.times),
        (vec![0, 2, 3], vec![2, 3, 4], Some(vec![8, 9, 5]))
    );
    let one = [both[0], history(&[4], None)];
    assert_eq!(JaggedBatch::recent(&one, 9).times, None);
}

#[test]
fn public_logs_split_without_leaks() {
    for file in [
        "ml-100k/ml-100k.inter",
        "online-retail/events_2009_2011.tsv.gz",
    ] {
        let Some(log) = public_log(file, "auto") else {
            continue;
        };
        let global = Holdout::global_time(&log, 0.8, 0.9).unwrap();
        for holdout in [Holdout::LeaveOneOut, Holdout::LeaveLastBasketOut, global] {
            let split = Split::new(&log, holdout).unwrap();
            let test = split.cases(Part::Test, Targets::All);
            println!(
                "{file}, {holdout}: {} users, {} without a history; {}",
                test.list.len(),
                test.without_history,
                Leakage::of(&split)
            );
        }
    }
}
