//! That it learns, and by the right slopes.

use crate::{LOSSES, histories, quick, scores, small, trainer, views, with_variant};
use attention::{Feature, Workers};
use attention_candle::{Engine, Tape};
use attention_variants::{Configured, VARIANTS};
use candle_core::Tensor;
use recommender::loss::{Goals, Loss};
use recommender::model::{Norm, Parameters, Pass, SasRec, SasRecConfig, SequenceModel, Tokens};
use recommender::{ShopConfig, simulate_shop};

#[test]
fn every_loss_and_every_norm_learns_what_follows_what() {
    let histories = histories(300, 40, 20);
    let histories = views(&histories);
    for (loss, norm) in
        LOSSES
            .into_iter()
            .zip([Norm::Original, Norm::Pre, Norm::Post, Norm::Original])
    {
        let mut trainer = trainer(&SasRecConfig { norm, ..small() }, quick(loss), 2);
        for _ in 0..24 {
            trainer.epoch(&histories).unwrap();
        }
        let probes: Vec<[u32; 3]> = (0..40)
            .map(|item| [item, (item + 1) % 40, (item + 2) % 40])
            .collect();
        let probes: Vec<&[u32]> = probes.iter().map(|probe| &probe[..]).collect();
        let right = scores(&trainer, &probes)
            .outer_iter()
            .enumerate()
            .filter(|(item, row)| {
                let next = row[(item + 3) % 40];
                row.iter().filter(|score| **score > next).count() < 3
            })
            .count();
        assert!(
            right > 25,
            "{loss:?}, {norm:?}: the next item is among three for {right} of 40"
        );
    }
}

#[test]
fn every_variant_with_gradients_trains_inside_the_block() {
    let histories = histories(150, 40, 20);
    let histories = views(&histories);
    for variant in VARIANTS {
        let attention = Configured::new(variant.name, []).unwrap().build().unwrap();
        let mut trainer = trainer(&with_variant(variant.name), quick(Loss::Softmax), 2);
        let lacks = |feature| !attention.capabilities().has(feature);
        if let Some(feature) = [Feature::Causal, Feature::Backward]
            .into_iter()
            .find(|f| lacks(*f))
        {
            let message = trainer.epoch(&histories).unwrap_err().to_string();
            let expected = format!("does not support {}", feature.name());
            assert!(message.contains(&expected), "{message}");
            continue;
        }
        let losses: Vec<f64> = (0..6)
            .map(|_| trainer.epoch(&histories).unwrap().loss)
            .collect();
        assert!(losses[5] < 0.9 * losses[0], "{}: {losses:?}", variant.name);
    }
}

/// The whole model's gradient along random directions, parameter by parameter.
#[test]
fn a_models_gradient_is_the_slope_of_its_loss() {
    let engine = Engine::new(Workers::serial());
    for variant in ["blocked", "hedgehog", "gated-deltanet"] {
        let model = SasRec::new(&with_variant(variant), 3).unwrap();
        let items = Parameters::new(8).table("items", 12, 16).unwrap();
        let histories: [&[u32]; 2] = [&[1, 5, 9, 2, 5], &[7, 0, 11]];
        let tokens = Tokens::new(histories, model.longest());
        let goals = Goals {
            rows: [5, 9, 2, 5, 4, 0, 11, 3].into(),
            ..Goals::default()
        };
        let loss_on = |engine: &Engine| {
            let pass = Pass {
                engine,
                dropout: Some(5),
                watch: None,
            };
            let states = model.encode(&items, &tokens, pass).unwrap();
            Loss::Softmax
                .of(engine, &states, &items, &goals, 12, 1.0)
                .unwrap()
        };
        let loss = || loss_on(&engine);
        let value = |loss: Tensor| f64::from(loss.to_scalar::<f32>().unwrap());
        let gradients = loss().backward().unwrap();
        let tape = Tape::default();
        let taped = tape.backward(&loss_on(&engine.with_tape(&tape))).unwrap();
        for (name, var) in model.parameters().iter().chain([("items", &items)]) {
            let gradient = gradients
                .get(var)
                .unwrap_or_else(|| panic!("{variant}: no gradient of {name}"));
            let apart = (gradient - taped.get(var).unwrap()).unwrap();
            let apart = value(apart.abs().unwrap().flatten_all().unwrap().max(0).unwrap());
            assert!(
                apart < 1e-6,
                "{variant}, {name}: candle's way back and the tape's differ by {apart}"
            );
            let size = value(gradient.sqr().unwrap().sum_all().unwrap()).sqrt();
            // Along the gradient itself the slope is its length.
            let before = var.as_detached_tensor().copy().unwrap();
            let step = 2e-3 / size.max(1e-3);
            let moved = |sign: f64| {
                var.set(&(&before + (gradient * (sign * step)).unwrap()).unwrap())
                    .unwrap();
                value(loss())
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            var.set(&before).unwrap();
            let expected = size * size;
            assert!(
                (slope - expected).abs() < 0.05 * expected + 2e-3 * size + 1e-6,
                "{variant}, {name}: {slope} for {expected}"
            );
        }
    }
}

/// The mean of 1/rank of the last item, learned and by popularity.
#[test]
fn a_simulated_shop_is_learned_better_than_by_popularity() {
    let shop = ShopConfig {
        users: 400,
        items: 40,
        clusters: 5,
        ..ShopConfig::default()
    };
    let log = simulate_shop(&shop).unwrap().interactions;
    let known: Vec<&[u32]> = log
        .histories()
        .filter(|history| history.len() > 3)
        .collect();
    let parts: Vec<(&[u32], u32)> = known
        .iter()
        .map(|h| (&h[..h.len() - 1], h[h.len() - 1]))
        .collect();
    let training: Vec<&[u32]> = parts.iter().map(|(history, _)| *history).collect();
    let mut trainer = trainer(&small(), quick(Loss::Softmax), 2);
    for _ in 0..15 {
        trainer.epoch(&training).unwrap();
    }
    let mut counts = [0f32; 40];
    training
        .iter()
        .flat_map(|history| *history)
        .for_each(|&item| counts[item as usize] += 1.0);
    let rank = |row: &[f32], target: u32| {
        1 + row
            .iter()
            .filter(|score| **score > row[target as usize])
            .count()
    };
    let scores = scores(&trainer, &training);
    let (mut learned, mut popular) = (0.0, 0.0);
    for (row, (_, target)) in scores.outer_iter().zip(&parts) {
        learned += 1.0 / rank(&row.to_vec(), *target) as f64;
        popular += 1.0 / rank(&counts, *target) as f64;
    }
    assert!(learned > 1.15 * popular, "{learned} against {popular}");
}
