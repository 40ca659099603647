//! The models that read a history anew for every candidate.

use crate::{ITEMS, assert_slopes, losses_on_any_threads, shop, trainer, views};
use attention::Workers;
use attention_candle::Engine;
use attention_variants::VARIANTS;
use candle_core::Tensor;
use ndarray::Array2;
use recommender::History;
use recommender::loss::{Goals, Loss};
use recommender::model::{
    AttentionConfig, CandidateModel, ModelError, Parameters, Pass, Requests, Scorer, SequenceModel,
    TargetAttention, TargetAttentionConfig, Tokens,
};
use recommender::train::TrainError;

fn small(config: TargetAttentionConfig) -> TargetAttentionConfig {
    let hidden = if config.hidden.is_empty() {
        vec![]
    } else {
        vec![12, 6]
    };
    TargetAttentionConfig {
        width: 16,
        longest: 20,
        hidden,
        ..config
    }
}

/// Without projections, as DIN has it; softmax stands for its activation unit.
fn bare() -> TargetAttentionConfig {
    TargetAttentionConfig {
        attention: AttentionConfig::default(),
        ..TargetAttentionConfig::din()
    }
}

fn make(config: TargetAttentionConfig) -> TargetAttention {
    TargetAttention::new(&small(config), 3).unwrap()
}

fn settings() -> [TargetAttentionConfig; 3] {
    [
        TargetAttentionConfig::default(),
        bare(),
        TargetAttentionConfig::interest(),
    ]
}

/// Two histories, asked for three candidates and for one.
fn requests() -> Requests {
    let histories: [&[u32]; 2] = [&[1, 5, 9, 2, 5], &[7, 0, 11]];
    Requests {
        histories: Tokens::new(histories, 20),
        candidates: [4, 0, 5, 3].into(),
        offsets: [0, 3, 4].into(),
    }
}

fn score(model: &dyn CandidateModel, items: &Tensor, requests: &Requests) -> Vec<f32> {
    let engine = Engine::new(Workers::serial());
    let pass = Pass {
        engine: &engine,
        dropout: None,
        watch: None,
    };
    let logits = model.score(items, requests, pass).unwrap();
    logits.to_vec1().unwrap()
}

#[test]
fn a_models_gradient_is_the_slope_of_its_loss() {
    for config in settings() {
        let model = make(config);
        let items = Parameters::new(8).table("items", 12, 16).unwrap();
        let loss = |engine: &Engine| {
            let pass = Pass {
                engine,
                dropout: Some(5),
                watch: None,
            };
            let logits = model.score(&items, &requests(), pass).unwrap();
            let ones = Tensor::ones((2, 1), logits.dtype(), logits.device()).unwrap();
            let goals = Goals {
                rows: [0, 1, 2, 3].into(),
                ..Goals::default()
            };
            let loss = Loss::Bce { negatives: 1 };
            let logits = logits.unsqueeze(1).unwrap();
            loss.of(engine, &ones, &logits, &goals, 12, 1.0).unwrap()
        };
        assert_slopes(loss, model.parameters().iter().chain([("items", &items)]));
    }
}

#[test]
fn a_logit_depends_on_its_history_and_its_candidate_alone() {
    let items = Parameters::new(8).table("items", 12, 16).unwrap();
    for config in settings() {
        let model = make(config);
        let together = score(&model, &items, &requests());
        let alone = Requests::even(Tokens::new([&[7, 0, 11][..]], 20), [3].into());
        assert_eq!(together[3..], score(&model, &items, &alone)[..]);
        let others = Requests::even(Tokens::new([&[1, 5, 9, 2, 5][..]], 20), [0, 8].into());
        assert_eq!(together[1], score(&model, &items, &others)[0]);
        let elsewhere = Requests::even(Tokens::new([&[3, 3][..]], 20), [0].into());
        assert_ne!(together[1], score(&model, &items, &elsewhere)[0]);
    }
}

#[test]
fn the_whole_catalogue_is_scored_in_tiles() {
    let catalogue = 1100;
    let items = Parameters::new(8).table("items", catalogue, 16).unwrap();
    let model = make(TargetAttentionConfig::default());
    let engine = Engine::new(Workers::new(2).unwrap());
    let scorer = Scorer {
        model: &model,
        items: &items,
        engine: &engine,
    };
    let histories: [&[u32]; 3] = [&[1, 5, 1099, 2, 5], &[], &[7, 0, 11]];
    let mut scores = Array2::from_elem((3, catalogue), f32::NAN);
    scorer.score(&histories, scores.view_mut()).unwrap();
    assert!(scores.row(1).iter().all(|score| *score == 0.0));
    for user in [0, 2] {
        let history = Tokens::new([histories[user]], 20);
        let probes = [0, 511, 512, 1099];
        let requests = Requests::even(history, probes.into());
        for (item, logit) in probes.into_iter().zip(score(&model, &items, &requests)) {
            let found = scores[(user, item as usize)];
            assert!((found - logit).abs() < 1e-5, "{item}: {found} and {logit}");
        }
    }
}

#[test]
fn the_simulated_shop_is_learned_with_the_same_bits_on_any_threads() {
    for config in settings() {
        for loss in [
            Loss::Bce { negatives: 2 },
            Loss::SampledSoftmax { negatives: 4 },
        ] {
            let model = || Box::new(make(config.clone())) as Box<dyn SequenceModel>;
            let losses = losses_on_any_threads(model, loss, 6);
            assert!(losses[5] < 0.97 * losses[0], "{loss:?}: {losses:?}");
        }
    }
}

#[test]
fn ratings_are_learned_in_units_of_their_spread() {
    let histories = shop();
    let liking = |item: &u32| if item.is_multiple_of(3) { 5.0 } else { 2.0 };
    let ratings: Vec<Vec<f32>> = histories
        .iter()
        .map(|items| items.iter().map(liking).collect())
        .collect();
    let rated: Vec<History<'_>> = histories
        .iter()
        .zip(&ratings)
        .map(|(items, ratings)| History {
            ratings: Some(ratings),
            ..History::of(items)
        })
        .collect();
    let model = Box::new(make(TargetAttentionConfig::interest()));
    let mut trainer = trainer(model, Loss::Mse, 2);
    let losses: Vec<f64> = (0..8)
        .map(|_| trainer.epoch(&rated).unwrap().loss)
        .collect();
    assert!(
        (0.8..1.3).contains(&losses[0]),
        "the spread is one: {losses:?}"
    );
    assert!(losses[7] < 0.2, "{losses:?}");
    assert!(trainer.validation_loss(&rated).unwrap() < 0.2);

    let scale = trainer.rating_scale().unwrap();
    let mut scores = Array2::zeros((1, ITEMS));
    let scorer = trainer.scorer();
    scorer
        .score(&views(&histories)[..1], scores.view_mut())
        .unwrap();
    let error: f64 = (0..ITEMS as u32)
        .map(|item| scale.rating(scores[(0, item as usize)].into()) - f64::from(liking(&item)))
        .map(|error| error * error / ITEMS as f64)
        .sum();
    assert!(error < 1.0, "the ratings' own spread is 2: {error}");
}

#[test]
fn what_a_candidate_model_cannot_do_is_refused() {
    let engine = Engine::new(Workers::serial());
    let model = make(TargetAttentionConfig::interest());
    let items = Parameters::new(8).table("items", 12, 16).unwrap();
    let pass = Pass {
        engine: &engine,
        dropout: None,
        watch: None,
    };
    let refused = model.encode(&items, &requests().histories, pass);
    assert!(matches!(refused, Err(ModelError::NoStates)));

    let mut rated = trainer(Box::new(model), Loss::Mse, 1);
    assert!(matches!(
        rated.epoch(&[&[1u32, 2][..]]),
        Err(TrainError::NoRatings { history: 0 })
    ));
    let model = Box::new(make(TargetAttentionConfig::default()));
    let config = recommender::train::TrainConfig {
        loss: Loss::Softmax,
        ..Default::default()
    };
    let refused = recommender::train::Trainer::new(model, ITEMS, config, engine);
    assert!(matches!(
        refused.err(),
        Some(TrainError::Setting {
            setting: "loss",
            ..
        })
    ));
}

#[test]
fn every_variant_with_gradients_reads_histories_for_candidates() {
    let histories = shop();
    let histories = &views(&histories)[..60];
    let mut trained = Vec::new();
    for variant in VARIANTS {
        let attention = AttentionConfig {
            variant: variant.name.into(),
            ..AttentionConfig::default()
        };
        let config = TargetAttentionConfig {
            attention,
            ..TargetAttentionConfig::default()
        };
        let model = match TargetAttention::new(&small(config), 3) {
            Ok(model) => Box::new(model),
            Err(ModelError::SideInput { .. }) => continue,
            Err(error) => panic!("{}: {error}", variant.name),
        };
        let mut trainer = trainer(model, Loss::Bce { negatives: 2 }, 2);
        match trainer.epoch(histories) {
            Ok(report) => {
                assert!(report.loss.is_finite(), "{}", variant.name);
                trained.push(variant.name);
            }
            // The tensors of some are as long as the history.
            Err(error) => {
                let message = error.to_string();
                let known = ["does not support", "needs the tensor"];
                assert!(known.iter().any(|text| message.contains(text)), "{message}");
            }
        }
    }
    assert!(trained.len() > 10, "{trained:?}");
}
