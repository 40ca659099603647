//! A random log written in each format reads back as the same histories.

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use recommender::Interactions;
use support::{LogFile, gzip};

#[derive(Debug, Clone)]
struct Event {
    user: String,
    item: String,
    time: i64,
}

/// Histories as the definition has them: by user, by time, ties by file order.
fn expected(events: &[Event], timed: bool) -> BTreeMap<String, Vec<(i64, String)>> {
    let mut histories: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for event in events {
        let time = if timed { event.time } else { 0 };
        histories
            .entry(event.user.clone())
            .or_default()
            .push((time, event.item.clone()));
    }
    histories
        .values_mut()
        .for_each(|history| history.sort_by_key(|(time, _)| *time));
    histories
}

fn found(log: &Interactions) -> BTreeMap<String, Vec<(i64, String)>> {
    (0..log.users())
        .map(|user| {
            let items = log
                .history(user)
                .iter()
                .map(|&item| log.item_name(item).to_string());
            let times = log
                .times(user)
                .map_or_else(|| vec![0; items.len()], <[i64]>::to_vec);
            (
                log.user_name(user).to_string(),
                times.into_iter().zip(items).collect(),
            )
        })
        .collect()
}

fn events(token: &'static str) -> impl Strategy<Value = Vec<Event>> {
    let times = prop_oneof![0i64..4, any::<i64>()];
    let users = prop::collection::vec(token, 1..5);
    let items = prop::collection::vec(token, 1..8);
    (users, items).prop_flat_map(move |(users, items)| {
        let event = (
            prop::sample::select(users),
            prop::sample::select(items),
            times.clone(),
        );
        prop::collection::vec(
            event.prop_map(|(user, item, time)| Event { user, item, time }),
            1..40,
        )
    })
}

fn lines(events: &[Event], line: impl Fn(&Event) -> String) -> String {
    events.iter().map(line).collect()
}

fn check(content: &str, format: &str, events: &[Event], timed: bool) {
    for bytes in [content.as_bytes().to_vec(), gzip(content)] {
        let log = LogFile::new("log", bytes).read(format).unwrap();
        assert_eq!(found(&log), expected(events, timed), "{format}");
        assert_eq!(log.events(), events.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn plain_tokens_in_every_format(events in events("[a-z0-9_é-]{1,5}")) {
        let all = |user, item, end| lines(&events, |e| format!("{}{user}{}{item}{}{end}", e.user, e.item, e.time));
        check(&all("\t", "\t3\t", "\n"), "movielens-data", &events, true);
        check(&all("::", "::3::", "\r\n"), "movielens-dat", &events, true);
        check(&format!("userId,movieId,rating,timestamp\n{}", all(",", ",3.5,", "\n")), "movielens-csv", &events, true);
        let typed = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n";
        check(&format!("{typed}{}", all("\t", "\t1\t", ".0\n")), "recbole", &events, true);
        check(&format!("user;item;ts\n{}", all(";", ";", "\n")), "table", &events, true);
        check(&lines(&events, |e| format!("{} {}\n", e.user, e.item)), "pairs", &events, false);
        let sequences = expected(&events, false).into_iter().map(|(user, history)| {
            let items: Vec<String> = history.into_iter().map(|(_, item)| item).collect();
            format!("{user} {}\n", items.join(" "))
        });
        check(&sequences.collect::<String>(), "sequences", &events, false);
    }

    #[test]
    fn any_token_in_a_quoted_table(events in events("[a-z,;\"\t\n é]{0,4}[a-z\",]")) {
        // White space round a token is not part of it.
        let events: Vec<Event> = events
            .into_iter()
            .map(|e| Event { user: e.user.trim().to_string(), item: e.item.trim().to_string(), ..e })
            .collect();
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let body = lines(&events, |e| format!("{},{},{}\n", quoted(&e.user), e.time, quoted(&e.item)));
        check(&format!("user,time,item\n{body}"), "csv", &events, true);
        check(&format!("\"user\",\"time\",\"item\"\r\n{}", body.trim_end_matches('\n')), "auto", &events, true);
    }
}
