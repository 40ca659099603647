//! The evaluator against counts made by hand and by the plainest code.

mod support;

use ndarray::ArrayViewMut2;
use proptest::prelude::*;
use recommender::baseline::{ItemKnn, Popularity};
use recommender::evaluate::{Bootstrap, RankerError, Sampling, Summary, paired_test};
use recommender::{
    Candidates, EvaluateConfig, EvaluateError, Evaluation, History, Holdout, Interactions, Metric,
    Part, Ranker, Seen, ShopConfig, Split, Targets, evaluate, simulate_shop,
};
use support::pool;

/// Gives everyone these scores.
struct Fixed(Vec<f32>);

impl Ranker for Fixed {
    fn items(&self) -> usize {
        self.0.len()
    }

    fn score(
        &self,
        _: &[History<'_>],
        mut scores: ArrayViewMut2<'_, f32>,
    ) -> Result<(), RankerError> {
        for mut row in scores.rows_mut() {
            row.iter_mut()
                .zip(&self.0)
                .for_each(|(score, own)| *score = *own);
        }
        Ok(())
    }
}

fn run(
    log: &Interactions,
    ranker: &dyn Ranker,
    candidates: Candidates,
    batch: usize,
    threads: usize,
) -> Evaluation {
    let split = Split::new(log, Holdout::LeaveOneOut).unwrap();
    let config = EvaluateConfig {
        candidates,
        cutoffs: vec![1, 3, 10],
        batch,
    };
    let cases = split.cases(Part::Test, Targets::All);
    evaluate(ranker, &cases, &config, &pool(threads)).unwrap()
}

fn full(log: &Interactions, scores: &[f32], seen: Seen) -> Evaluation {
    run(
        log,
        &Fixed(scores.to_vec()),
        Candidates::Catalogue { seen },
        2,
        1,
    )
}

fn shop() -> Interactions {
    let config = ShopConfig {
        users: 300,
        items: 200,
        clusters: 8,
        ..ShopConfig::default()
    };
    simulate_shop(&config).unwrap().interactions
}

#[test]
fn ranks_and_coverage_counted_by_hand() {
    // Order by score: 3, then 0 and 2 tied, then 1 and 4 tied.
    let scores = [0.5, -1.0, 0.5, 9.0, -1.0];
    let log = Interactions::from_histories(&[vec![3, 0, 1, 2], vec![1, 2, 4], vec![3, 4, 3]], 5);
    let kept = full(&log, &scores, Seen::Kept);
    assert_eq!(
        [kept.ranks(0), kept.ranks(1), kept.ranks(2)],
        [&[3], &[5], &[1]]
    );
    assert_eq!(
        kept.summary(Bootstrap::default(), &pool(1)).coverage,
        [(1, 0.2), (3, 0.6), (10, 1.0)]
    );
    let removed = full(&log, &scores, Seen::Removed);
    // The third user's target is in their history: never ranked, and counted as missed.
    assert_eq!(
        [removed.ranks(0), removed.ranks(1), removed.ranks(2)],
        [&[1], &[3], &[0]]
    );
    assert_eq!(removed.not_ranked(), 1);
    assert_eq!(removed.mean(Metric::HitRate(1)), 1.0 / 3.0);
    // First for the three users: 2, 3, 0.
    assert_eq!(
        removed.summary(Bootstrap::default(), &pool(1)).coverage[0],
        (1, 0.6)
    );
}

proptest! {
    #[test]
    fn any_log_and_scores_rank_as_a_sort_does(
        histories in proptest::collection::vec(proptest::collection::vec(0u32..12, 3..9), 1..12),
        scores in proptest::collection::vec((-2i8..3).prop_map(f32::from), 12),
        batch in 1usize..5,
        removed in any::<bool>(),
    ) {
        let log = Interactions::from_histories(&histories, 12);
        let seen = if removed { Seen::Removed } else { Seen::Kept };
        let found = run(&log, &Fixed(scores.clone()), Candidates::Catalogue { seen }, batch, 2);
        for (user, history) in histories.iter().enumerate() {
            let (target, past) = history.split_last().unwrap();
            let mut order: Vec<u32> = (0..12).filter(|item| !(removed && past.contains(item))).collect();
            order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
            let rank = order.iter().position(|item| item == target).map_or(0, |at| at as u32 + 1);
            prop_assert_eq!(found.ranks(user), &[rank]);
        }
    }
}

#[test]
fn threads_and_batches_change_nothing() {
    let log = shop();
    let split = Split::new(&log, Holdout::LeaveOneOut).unwrap();
    let ranker = ItemKnn::fit(&split, 10, &pool(1));
    assert_eq!(ranker, ItemKnn::fit(&split, 10, &pool(3)));
    let sampled = Candidates::Sampled {
        negatives: 20,
        by: Sampling::Popularity,
        seed: 3,
    };
    for candidates in [
        Candidates::Catalogue {
            seen: Seen::Removed,
        },
        sampled,
    ] {
        let one = run(&log, &ranker, candidates, 64, 1);
        assert_eq!(one, run(&log, &ranker, candidates, 7, 3));
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), one);
    }
}

#[test]
fn a_sample_of_all_unseen_items_is_full_ranking_without_the_seen() {
    let log = shop();
    let split = Split::new(&log, Holdout::LeaveOneOut).unwrap();
    let ranker = Popularity::fit(&split);
    let removed = run(
        &log,
        &ranker,
        Candidates::Catalogue {
            seen: Seen::Removed,
        },
        64,
        2,
    );
    let all = Candidates::Sampled {
        negatives: log.items(),
        by: Sampling::Uniform,
        seed: 0,
    };
    let sampled = run(&log, &ranker, all, 64, 2);
    assert!(
        sampled
            .summary(Bootstrap::default(), &pool(1))
            .coverage
            .is_empty()
    );
    let mut compared = 0;
    for user in 0..sampled.users().len() {
        // A target seen before is ranked among unseen items by the one and not at all by the other.
        if removed.ranks(user) != [0] {
            assert_eq!(sampled.ranks(user), removed.ranks(user));
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn popular_negatives_are_harder_than_uniform_ones() {
    let log = shop();
    let split = Split::new(&log, Holdout::LeaveOneOut).unwrap();
    let ranker = Popularity::fit(&split);
    let hit_rate = |by| {
        let candidates = Candidates::Sampled {
            negatives: 30,
            by,
            seed: 1,
        };
        run(&log, &ranker, candidates, 64, 2).mean(Metric::HitRate(3))
    };
    let (uniform, popular) = (hit_rate(Sampling::Uniform), hit_rate(Sampling::Popularity));
    assert!(uniform > popular + 0.1, "{uniform} {popular}");
}

#[test]
fn buckets_by_length_hold_every_user_once() {
    let log = shop();
    let split = Split::new(&log, Holdout::LeaveOneOut).unwrap();
    let whole = run(
        &log,
        &Popularity::fit(&split),
        Candidates::Catalogue { seen: Seen::Kept },
        64,
        2,
    );
    let buckets = whole.by_length(&[20, 5, 20]);
    let bounds: Vec<_> = buckets.iter().map(|(lengths, _)| lengths.clone()).collect();
    assert_eq!(
        bounds,
        [6..=20, 21..=usize::MAX],
        "no history is as short as 5"
    );
    let sum: f64 = buckets
        .iter()
        .flat_map(|(_, bucket)| bucket.values(Metric::Mrr))
        .sum();
    assert!((sum / whole.users().len() as f64 - whole.mean(Metric::Mrr)).abs() < 1e-12);
    for (lengths, bucket) in buckets {
        let protocol = bucket.protocol();
        assert_eq!(protocol.users, bucket.users().len());
        assert_eq!(protocol.lengths, Some(lengths.clone().into_inner()));
        for &user in bucket.users() {
            assert!(lengths.contains(&(log.history(user as usize).len() - 1)));
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    let log = shop();
    let split = Split::new(&log, Holdout::LeaveOneOut).unwrap();
    let candidates = Candidates::Catalogue { seen: Seen::Kept };
    let whole = run(&log, &Popularity::fit(&split), candidates, 64, 2);
    for (_, bucket) in whole.by_length(&[1, 5, 1_000_000]) {
        let summary = bucket.summary(Bootstrap::default(), &pool(2));
        let text = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_what_to_do() {
    let log = Interactions::from_histories(&[vec![0, 1, 2], vec![2, 1, 0]], 3);
    let split = Split::new(&log, Holdout::LeaveOneOut).unwrap();
    let cases = split.cases(Part::Test, Targets::All);
    let good = EvaluateConfig::full_ranking(Seen::Kept, &[10]);
    let refused = |ranker: &dyn Ranker, config: &EvaluateConfig| {
        evaluate(ranker, &cases, config, &pool(1))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(&Fixed(vec![0.0, f32::NAN, 0.0]), &good),
        "evaluation: the score of item 1 for user 0 is NaN or was not written; look for a diverged training or a division by \
         zero"
    );
    assert!(
        refused(&Fixed(vec![0.0; 4]), &good)
            .contains("the ranker scores 4 items and the log has 3")
    );
    let no_cutoffs = EvaluateConfig {
        cutoffs: vec![],
        ..good.clone()
    };
    assert!(refused(&Fixed(vec![0.0; 3]), &no_cutoffs).contains("cutoffs is []"));
    let no_batch = EvaluateConfig {
        batch: 0,
        ..good.clone()
    };
    assert!(refused(&Fixed(vec![0.0; 3]), &no_batch).contains("batch is 0"));
    let short = Interactions::from_histories(&[vec![0, 1]], 3);
    let split = Split::new(&short, Holdout::LeaveOneOut).unwrap();
    let nobody = evaluate(
        &Fixed(vec![0.0; 3]),
        &split.cases(Part::Test, Targets::All),
        &good,
        &pool(1),
    );
    assert!(matches!(nobody, Err(EvaluateError::NoCases { .. })));
}

#[test]
fn only_evaluations_of_one_protocol_are_paired() {
    let log = shop();
    let ranker = Fixed((0..log.items()).map(|item| item as f32).collect());
    let kept = run(
        &log,
        &ranker,
        Candidates::Catalogue { seen: Seen::Kept },
        64,
        2,
    );
    let removed = run(
        &log,
        &ranker,
        Candidates::Catalogue {
            seen: Seen::Removed,
        },
        64,
        2,
    );
    let test = |other| paired_test(&kept, other, Metric::Mrr, Bootstrap::default(), &pool(2));
    let same = test(&kept).unwrap();
    assert_eq!((same.p, same.better, same.worse), (1.0, 0, 0));
    assert_eq!(same.difference.value, 0.0);
    let message = test(&removed).unwrap_err().to_string();
    assert!(
        message.contains("seen items kept") && message.contains("seen items removed"),
        "{message}"
    );
}
