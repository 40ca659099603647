//! What is known about items, in their vectors.

use crate::{ITEMS, losses_of, scores, trainer, views};
use attention::Workers;
use attention_candle::Engine;
use recommender::Interactions;
use recommender::data::{ItemColumns, read_items};
use recommender::loss::Loss;
use recommender::model::{FeatureKind, SasRec, SasRecConfig, SequenceModel, SideFeatures};
use recommender::train::{TrainConfig, TrainError, Trainer};

fn model() -> Box<dyn SequenceModel> {
    let config = SasRecConfig {
        width: 16,
        longest: 20,
        ..SasRecConfig::default()
    };
    Box::new(SasRec::new(&config, 3).unwrap())
}

/// Two halves of the catalogue, each a category of its own, and users who stay in theirs; the items from `unseen` of
/// each half are in no history.
fn halves(unseen: u32) -> (Vec<Vec<u32>>, SideFeatures) {
    let half = ITEMS as u32 / 2;
    let histories = (0..200u32).map(|user| {
        let item = |t: u32| (user * 7 + t * (3 + user % 5)) % unseen + user % 2 * half;
        (0..8).map(item).collect()
    });
    let lists: Vec<Vec<u32>> = (0..ITEMS as u32).map(|item| vec![item / half]).collect();
    (histories.collect(), SideFeatures::from_lists(&lists))
}

fn with_features(features: &SideFeatures, loss: Loss, threads: usize) -> Trainer {
    let trainer = trainer(model(), loss, threads);
    trainer.with_features(features.clone()).unwrap()
}

#[test]
fn an_item_that_no_one_chose_is_known_by_its_features() {
    let (histories, features) = halves(15);
    let histories = views(&histories);
    for loss in [Loss::Softmax, Loss::SampledSoftmax { negatives: 8 }] {
        let mut trainer = with_features(&features, loss, 2);
        losses_of(&mut trainer, &histories, 12);
        let scores = scores(&trainer, &histories[..20]);
        let right = (0..20).filter(|&user| {
            let new = |first: usize| {
                (first..first + 5)
                    .map(|item| scores[(user, item)])
                    .sum::<f32>()
            };
            let (own, other) = if user % 2 == 0 { (15, 35) } else { (35, 15) };
            new(own) > new(other)
        });
        let right = right.count();
        assert!(right >= 18, "{loss:?}: of its own half for {right} of 20");
    }
}

#[test]
fn features_learn_the_same_bits_on_any_threads_and_over_interruptions() {
    let (histories, features) = halves(20);
    let (histories, folder) = (views(&histories), tempfile::tempdir().unwrap());
    for loss in [Loss::Softmax, Loss::Bce { negatives: 1 }] {
        let mut whole = with_features(&features, loss, 1);
        let losses = losses_of(&mut whole, &histories, 4);
        assert!(losses[3] < losses[0], "{losses:?}");
        let mut first = with_features(&features, loss, 2);
        losses_of(&mut first, &histories, 2);
        first.save(folder.path()).unwrap();
        let mut second = with_features(&features, loss, 3);
        second.resume(folder.path()).unwrap();
        assert_eq!(scores(&first, &histories), scores(&second, &histories));
        let weights = folder.path().join("weights.safetensors");
        first.save_weights(&weights).unwrap();
        let mut third = with_features(&features, loss, 1);
        third.load_weights(&weights).unwrap();
        assert_eq!(scores(&first, &histories), scores(&third, &histories));
        losses_of(&mut second, &histories, 2);
        assert_eq!(scores(&whole, &histories), scores(&second, &histories));
    }
}

#[test]
fn kinds_choose_what_is_a_feature() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.csv");
    let text = "item,title,genres,brand\n0,The Long Way,Drama|War,Acme\n1,the way home,Drama,\n2,Home (1999),,Acme\n";
    std::fs::write(&path, text).unwrap();
    let log = Interactions::from_histories(&[vec![0, 1, 2, 3]], 4);
    let items = read_items(&path, &ItemColumns::default(), &log).unwrap();
    let shared = |kinds: &[FeatureKind]| {
        let features = SideFeatures::new(&items, kinds);
        let holders =
            (0..features.count() as u32).map(|feature| features.items_with(feature).to_vec());
        let mut holders: Vec<_> = holders.collect();
        holders.sort();
        holders
    };
    assert_eq!(
        shared(&[FeatureKind::Genres]),
        [vec![0], vec![0, 1]],
        "War, Drama"
    );
    assert_eq!(shared(&[FeatureKind::Brand]), [vec![0, 2]]);
    // "long" and "1999" are in one title each.
    assert_eq!(
        shared(&[FeatureKind::Title]),
        [vec![0, 1], vec![0, 1], vec![1, 2]],
        "the, way, home"
    );
    assert_eq!(shared(&[FeatureKind::Brand, FeatureKind::Genres]).len(), 3);
    assert!(shared(&[]).is_empty());
    let kinds: Vec<FeatureKind> = serde_json::from_str(r#"["category", "title"]"#).unwrap();
    assert_eq!(kinds, [FeatureKind::Genres, FeatureKind::Title]);
}

#[test]
fn features_of_another_catalogue_or_none_at_all_are_refused() {
    let features = SideFeatures::from_lists(&[vec![0]]);
    let refused = trainer(model(), Loss::Softmax, 1).with_features(features);
    let setting = |error| {
        matches!(
            error,
            TrainError::Setting {
                setting: "features",
                ..
            }
        )
    };
    assert!(refused.err().is_some_and(setting));
    let config = TrainConfig {
        features: vec![FeatureKind::Title],
        ..TrainConfig::default()
    };
    let engine = Engine::new(Workers::serial());
    let mut without = Trainer::new(model(), ITEMS, config, engine).unwrap();
    assert!(without.epoch(&[&[1u32, 2][..]]).err().is_some_and(setting));
}

#[test]
fn a_model_that_takes_over_what_another_learned_scores_as_it_does() {
    let (histories, features) = halves(20);
    let histories = views(&histories);
    let mut theirs = with_features(&features, Loss::Softmax, 1);
    losses_of(&mut theirs, &histories, 2);
    let mut own = with_features(&features, Loss::Softmax, 1);
    let before = scores(&own, &histories[..5]);
    assert!(own.adopt(&theirs).unwrap().is_empty());
    let after = scores(&own, &histories[..5]);
    assert_ne!(before, after);
    assert_eq!(after, scores(&theirs, &histories[..5]));
}
