//! Popularity under leave-one-out on public logs, where the folder named by `ATTNBENCH_DATA` has them: published values,
//! and values that an independent implementation gave, to all four digits.

mod support;

use std::collections::HashMap;

use recommender::baseline::Popularity;
use recommender::evaluate::{Bootstrap, Sampling};
use recommender::{
    Candidates, EvaluateConfig, Evaluation, Holdout, Interactions, Metric, Part, Seen, Split,
    Targets, evaluate,
};
use support::{pool, public_log};

/// File; HR@10 and NDCG@10 of full ranking with seen items kept, then removed.
const FULL: [(&str, [&str; 2], [&str; 2]); 2] = [
    (
        "ml-1m/ml-1m.txt.gz",
        ["0.0162", "0.0079"],
        ["0.0369", "0.0180"],
    ),
    (
        "amazon-beauty/Beauty.txt",
        ["0.0114", "0.0053"],
        ["0.0115", "0.0055"],
    ),
];

/// File; HR@10 and NDCG@10 among 100 unseen items drawn uniformly.
const UNIFORM: [(&str, f64, f64); 2] = [
    ("ml-1m/ml-1m.txt.gz", 0.4351, 0.2397),
    ("ml-100k/ml-100k.inter", 0.4051, 0.2259),
];

fn popularity(file: &str, candidates: Candidates) -> Option<Evaluation> {
    Some(of_log(&public_log(file, "auto")?, candidates))
}

fn of_log(log: &Interactions, candidates: Candidates) -> Evaluation {
    let split = Split::new(log, Holdout::LeaveOneOut).unwrap();
    let config = EvaluateConfig {
        candidates,
        cutoffs: vec![10],
        batch: 64,
    };
    let cases = split.cases(Part::Test, Targets::All);
    evaluate(&Popularity::fit(&split), &cases, &config, &pool(2)).unwrap()
}

fn four_digits(found: &Evaluation) -> [String; 2] {
    [Metric::HitRate(10), Metric::Ndcg(10)].map(|metric| format!("{:.4}", found.mean(metric)))
}

#[test]
fn full_ranking_of_popularity_is_as_published_to_four_digits() {
    for (file, kept, removed) in FULL {
        for (seen, published) in [(Seen::Kept, kept), (Seen::Removed, removed)] {
            let Some(found) = popularity(file, Candidates::Catalogue { seen }) else {
                continue;
            };
            assert_eq!(four_digits(&found), published, "{file}, seen {seen:?}");
        }
    }
}

/// Ties among rare items move the fourth digit: the file is not in order of users, so that items appear first in another
/// order in the file than in the histories one after the other, by which the published values were made.
#[test]
fn ties_by_first_appearance_in_the_histories_give_the_published_values_of_ml_100k() {
    let Some(log) = public_log("ml-100k/ml-100k.inter", "auto") else {
        return;
    };
    let mut number = HashMap::new();
    let mut histories: Vec<Vec<u32>> = log.histories().map(<[u32]>::to_vec).collect();
    for item in histories.iter_mut().flatten() {
        let next = number.len() as u32;
        *item = *number.entry(*item).or_insert(next);
    }
    let renumbered = Interactions::from_histories(&histories, log.items());
    for (log, kept, removed) in [
        (&log, ["0.0498", "0.0224"], ["0.0859", "0.0449"]),
        (&renumbered, ["0.0498", "0.0226"], ["0.0859", "0.0439"]),
    ] {
        for (seen, expected) in [(Seen::Kept, kept), (Seen::Removed, removed)] {
            assert_eq!(
                four_digits(&of_log(log, Candidates::Catalogue { seen })),
                expected
            );
        }
    }
}

#[test]
fn sampled_ranking_of_popularity_is_as_published_within_noise() {
    for (file, hit_rate, ndcg) in UNIFORM {
        // Over users, the noise of the published sample and of ours: four deviations of one are generous for both.
        for seed in 0..3 {
            let candidates = Candidates::Sampled {
                negatives: 100,
                by: Sampling::Uniform,
                seed,
            };
            let Some(found) = popularity(file, candidates) else {
                continue;
            };
            for (metric, published) in [(Metric::HitRate(10), hit_rate), (Metric::Ndcg(10), ndcg)] {
                let users = found.users().len() as f64;
                // Negatives alone vary, not users: less than the binomial deviation.
                let bound = 2.0 * (0.25 / users).sqrt();
                let gap = (found.mean(metric) - published).abs();
                assert!(
                    gap < bound,
                    "{file} {metric} {} {published}",
                    found.mean(metric)
                );
            }
        }
    }
}

#[test]
fn an_interval_over_users_holds_the_value_and_has_the_expected_width() {
    let candidates = Candidates::Catalogue {
        seen: Seen::Removed,
    };
    let Some(found) = popularity("ml-1m/ml-1m.txt.gz", candidates) else {
        return;
    };
    let summary = found.summary(Bootstrap::default(), &pool(2));
    let (metric, hit_rate) = summary.metrics[0];
    assert_eq!(metric, Metric::HitRate(10));
    let expected = 2.0 * 1.96 * (0.0369 * (1.0 - 0.0369) / 6040f64).sqrt();
    let width = hit_rate.high - hit_rate.low;
    assert!(hit_rate.low < hit_rate.value && hit_rate.value < hit_rate.high);
    assert!((width / expected - 1.0).abs() < 0.1, "{width} {expected}");
}
