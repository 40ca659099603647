//! HSTU: its slopes, its bits, and that it learns, with its own attention and with others.

use crate::{histories, quick, views};
use attention::Workers;
use attention_candle::Engine;
use candle_core::Tensor;
use ndarray::Array2;
use recommender::loss::{Goals, Loss};
use recommender::model::{
    AttentionConfig, Hstu, HstuConfig, Parameters, Pass, SequenceModel, Tokens,
};
use recommender::train::Trainer;
use recommender::{ShopConfig, simulate_shop};

const LOSS: Loss = Loss::SampledSoftmax { negatives: 16 };

fn small() -> HstuConfig {
    HstuConfig {
        width: 16,
        longest: 20,
        heads: 2,
        head_width: 12,
        ..HstuConfig::default()
    }
}

fn with_variant(variant: &str) -> HstuConfig {
    let attention = AttentionConfig {
        variant: variant.into(),
        ..AttentionConfig::default()
    };
    HstuConfig {
        attention: Some(attention),
        scaled: true,
        ..small()
    }
}

fn trainer(config: &HstuConfig, loss: Loss, threads: usize) -> Trainer {
    let model = Box::new(Hstu::new(config, 1).unwrap());
    let engine = Engine::new(Workers::new(threads).unwrap());
    Trainer::new(model, 40, quick(loss), engine).unwrap()
}

/// Along its own gradient, every parameter's slope is the gradient's length.
#[test]
fn its_gradient_is_the_slope_of_its_loss() {
    let engine = Engine::new(Workers::serial());
    let plain = HstuConfig {
        temperature: 0.0,
        attention_dropout: 0.3,
        ..small()
    };
    for config in [small(), plain, with_variant("blocked"), with_variant("gla")] {
        let model = Hstu::new(&config, 3).unwrap();
        let items = Parameters::new(8).table("items", 12, 16).unwrap();
        let histories: [&[u32]; 2] = [&[1, 5, 9, 2, 5], &[7, 0, 11]];
        let tokens = Tokens::new(histories, model.longest());
        let goals = Goals {
            rows: [5, 9, 2, 5, 4, 0, 11, 3].into(),
            ..Goals::default()
        };
        let value = |loss: Tensor| f64::from(loss.to_scalar::<f32>().unwrap());
        let loss = || {
            let pass = Pass {
                engine: &engine,
                dropout: Some(5),
                watch: None,
            };
            let states = model.encode(&items, &tokens, pass).unwrap();
            let items = model.compared(&items, &engine).unwrap();
            let loss = Loss::Softmax.of(&engine, &states, &items, &goals, 12, 0.1);
            loss.unwrap()
        };
        // Deeper layers than at a beginning of small numbers, where everything is nearly linear.
        for (_, var) in model.parameters().iter() {
            var.set(&(var.as_tensor() * 3.0).unwrap()).unwrap();
        }
        let gradients = loss().backward().unwrap();
        for (name, var) in model.parameters().iter().chain([("items", &items)]) {
            let gradient = gradients.get(var).unwrap();
            let size = value(gradient.sqr().unwrap().sum_all().unwrap()).sqrt();
            let before = var.as_detached_tensor().copy().unwrap();
            let step = 2e-3 / size.max(1e-3);
            let moved = |sign: f64| {
                let there = &before + (gradient * (sign * step)).unwrap();
                var.set(&there.unwrap()).unwrap();
                value(loss())
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            var.set(&before).unwrap();
            let expected = size * size;
            assert!(
                (slope - expected).abs() < 0.05 * expected + 2e-3 * size + 1e-6,
                "{name}: {slope} for {expected}, {config:?}"
            );
        }
    }
}

#[test]
fn any_number_of_threads_trains_the_same_bits() {
    let histories = histories(150, 40, 30);
    let histories = views(&histories);
    let scores = [1, 2, 3].map(|threads| {
        let mut trainer = trainer(&small(), LOSS, threads);
        for _ in 0..3 {
            trainer.epoch(&histories).unwrap();
        }
        let mut scores = Array2::<f32>::zeros((histories.len(), 40));
        let scorer = trainer.scorer();
        scorer.score(&histories, scores.view_mut()).unwrap();
        scores
    });
    assert_eq!(scores[0], scores[1]);
    assert_eq!(scores[0], scores[2]);
}

#[test]
fn it_learns_a_simulated_shop_with_its_own_attention_and_with_others() {
    let shop = ShopConfig {
        users: 300,
        items: 40,
        clusters: 5,
        ..ShopConfig::default()
    };
    let log = simulate_shop(&shop).unwrap().interactions;
    let known: Vec<&[u32]> = log.histories().filter(|h| h.len() > 3).collect();
    for config in [small(), with_variant("blocked"), with_variant("retnet")] {
        let mut trainer = trainer(&config, LOSS, 2);
        let before = trainer.validation_loss(&known).unwrap();
        let losses: Vec<f64> = (0..8)
            .map(|_| trainer.epoch(&known).unwrap().loss)
            .collect();
        let after = trainer.validation_loss(&known).unwrap();
        assert!(losses[7] < 0.9 * losses[0], "{config:?}: {losses:?}");
        assert!(after < before, "{config:?}: {before} to {after}");
    }
}

/// States of unit length over τ, compared with vectors of unit length.
#[test]
fn logits_are_cosines_over_the_temperature() {
    let model = Hstu::new(&small(), 3).unwrap();
    let items = Parameters::new(8).table("items", 12, 16).unwrap();
    let tokens = Tokens::new([&[1, 5, 9][..]], model.longest());
    let engine = Engine::new(Workers::serial());
    let pass = Pass {
        engine: &engine,
        dropout: None,
        watch: None,
    };
    let lengths = |rows: Tensor| -> Vec<f32> {
        let lengths = rows.sqr().unwrap().sum(1).unwrap().sqrt().unwrap();
        lengths.to_vec1().unwrap()
    };
    let states = lengths(model.encode(&items, &tokens, pass).unwrap());
    assert!(states.iter().all(|x| (x - 20.0).abs() < 1e-4), "{states:?}");
    let vectors = lengths(model.compared(&items, &engine).unwrap());
    assert!(
        vectors.iter().all(|x| (x - 1.0).abs() < 1e-6),
        "{vectors:?}"
    );
}
