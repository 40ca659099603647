//! Training: what must not depend on threads, layout, kernel or interruption does not, and it learns.

use attention::Workers;
use attention_candle::Engine;
use attention_variants::{Configured, VARIANTS};
use candle_core::Tensor;
use ndarray::Array2;
use recommender::loss::{Goals, Loss};
use recommender::model::{
    AttentionConfig, Norm, Parameters, Pass, SasRec, SasRecConfig, SequenceModel, Tokens,
};
use recommender::train::{StopConfig, TrainConfig, TrainError, Trainer};
use recommender::{ShopConfig, simulate_shop};

/// Histories in which an item leads to its successor three times in four.
fn histories(users: u32, items: u32, longest: u32) -> Vec<Vec<u32>> {
    let mut state = 7u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    (0..users)
        .map(|_| {
            let mut item = random(items);
            let length = 2 + random(longest);
            (0..length)
                .map(|_| {
                    item = if random(4) > 0 {
                        (item + 1) % items
                    } else {
                        random(items)
                    };
                    item
                })
                .collect()
        })
        .collect()
}

fn views(histories: &[Vec<u32>]) -> Vec<&[u32]> {
    histories.iter().map(Vec::as_slice).collect()
}

fn small() -> SasRecConfig {
    SasRecConfig {
        width: 16,
        longest: 20,
        heads: 2,
        ..SasRecConfig::default()
    }
}

fn with_variant(variant: &str) -> SasRecConfig {
    let attention = AttentionConfig {
        variant: variant.into(),
        ..AttentionConfig::default()
    };
    SasRecConfig {
        attention,
        ..small()
    }
}

fn quick(loss: Loss) -> TrainConfig {
    TrainConfig {
        batch: 32,
        loss,
        warm_up: 5,
        learning_rate: 5e-3,
        clip: Some(5.0),
        ..TrainConfig::default()
    }
}

fn trainer(model: &SasRecConfig, config: TrainConfig, threads: usize) -> Trainer {
    let model = Box::new(SasRec::new(model, config.seed).unwrap());
    Trainer::new(
        model,
        40,
        config,
        Engine::new(Workers::new(threads).unwrap()),
    )
    .unwrap()
}

fn scores(trainer: &Trainer, histories: &[&[u32]]) -> Array2<f32> {
    let mut scores = Array2::zeros((histories.len(), 40));
    trainer
        .scorer()
        .score(histories, scores.view_mut())
        .unwrap();
    scores
}

const LOSSES: [Loss; 4] = [
    Loss::Bce { negatives: 1 },
    Loss::Gbce {
        negatives: 8,
        calibration: 0.75,
    },
    Loss::SampledSoftmax { negatives: 8 },
    Loss::Softmax,
];

#[test]
fn any_number_of_threads_and_any_interruption_gives_the_same_bits() {
    let (histories, folder) = (histories(200, 40, 30), tempfile::tempdir().unwrap());
    let histories = views(&histories);
    for loss in LOSSES {
        let mut whole = trainer(&small(), quick(loss), 1);
        for _ in 0..4 {
            whole.epoch(&histories).unwrap();
            whole
                .note(-whole.validation_loss(&histories).unwrap())
                .unwrap();
        }
        let mut first = trainer(&small(), quick(loss), 3);
        for _ in 0..2 {
            first.epoch(&histories).unwrap();
            first
                .note(-first.validation_loss(&histories).unwrap())
                .unwrap();
            first.save(folder.path()).unwrap();
        }
        drop(first);
        let mut second = trainer(&small(), quick(loss), 2);
        second.resume(folder.path()).unwrap();
        for _ in 0..2 {
            second.epoch(&histories).unwrap();
            second
                .note(-second.validation_loss(&histories).unwrap())
                .unwrap();
        }
        assert_eq!(
            scores(&whole, &histories),
            scores(&second, &histories),
            "{loss:?}"
        );
        assert_eq!(whole.take_best().unwrap(), second.take_best().unwrap());
        assert_eq!(
            scores(&whole, &histories),
            scores(&second, &histories),
            "best of {loss:?}"
        );
    }
}

#[test]
fn exact_attention_trains_as_the_materialised_does() {
    let histories = histories(400, 40, 25);
    let histories = views(&histories);
    let mut both =
        ["blocked", "naive-gemm"].map(|name| trainer(&with_variant(name), quick(LOSSES[0]), 2));
    for step in 0..100 {
        let batch = &histories[step * 4 % 368..][..32];
        let [exact, naive] = both
            .each_mut()
            .map(|trainer| trainer.step_on(batch).unwrap());
        assert!(
            (exact - naive).abs() < 1e-4,
            "step {step}: {exact} and {naive}"
        );
    }
}

#[test]
fn padding_costs_time_and_changes_nothing() {
    let histories = histories(60, 40, 25);
    let histories = views(&histories);
    let model = SasRecConfig {
        dropout: 0.0,
        ..small()
    };
    let losses = [false, true].map(|padded| {
        let config = TrainConfig {
            batch: 20,
            padded,
            ..quick(Loss::Softmax)
        };
        let mut trainer = trainer(&model, config, 2);
        (0..3)
            .map(|_| trainer.epoch(&histories).unwrap().loss)
            .collect::<Vec<_>>()
    });
    for (jagged, padded) in losses[0].iter().zip(&losses[1]) {
        assert!((jagged - padded).abs() < 1e-4, "{jagged} and {padded}");
    }
}

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
        if !attention.capabilities().has(attention::Feature::Backward) {
            let message = trainer.epoch(&histories).unwrap_err().to_string();
            assert!(message.contains("does not support backward"), "{message}");
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
        };
        let loss = || {
            let pass = Pass {
                engine: &engine,
                dropout: Some(5),
            };
            let states = model.encode(&items, &tokens, pass).unwrap();
            Loss::Softmax
                .of(&engine, &states, &items, &goals, 12, 1.0)
                .unwrap()
        };
        let value = |loss: Tensor| f64::from(loss.to_scalar::<f32>().unwrap());
        let gradients = loss().backward().unwrap();
        for (name, var) in model.parameters().iter().chain([("items", &items)]) {
            let gradient = gradients
                .get(var)
                .unwrap_or_else(|| panic!("{variant}: no gradient of {name}"));
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

#[test]
fn training_stops_when_the_metric_does_not_grow_and_goes_back_to_the_best() {
    let histories = histories(60, 40, 10);
    let histories = views(&histories);
    let stop = Some(StopConfig {
        every: 1,
        patience: 2,
    });
    let mut trainer = trainer(
        &small(),
        TrainConfig {
            stop,
            ..quick(Loss::Softmax)
        },
        2,
    );
    let mut at_best = None;
    for metric in [0.1, 0.3, 0.2, 0.25, 0.9] {
        if trainer.is_done() {
            break;
        }
        trainer.epoch(&histories).unwrap();
        trainer.note(metric).unwrap();
        if metric == 0.3 {
            at_best = Some(scores(&trainer, &histories));
        }
    }
    assert_eq!(trainer.epochs(), 4, "two looks without a better value");
    assert_eq!(trainer.take_best().unwrap(), Some((0.3, 2)));
    assert_eq!(at_best, Some(scores(&trainer, &histories)));
}

#[test]
fn what_cannot_be_trained_or_resumed_is_refused() {
    let histories = histories(20, 40, 10);
    let histories = views(&histories);
    let folder = tempfile::tempdir().unwrap();
    let mut one = trainer(&small(), quick(Loss::Softmax), 1);
    assert!(matches!(
        one.resume(folder.path()),
        Err(TrainError::Checkpoint { .. })
    ));
    one.epoch(&histories).unwrap();
    one.save(folder.path()).unwrap();
    let message = trainer(&with_variant("linear-relu"), quick(Loss::Softmax), 1)
        .resume(folder.path())
        .unwrap_err();
    assert!(message.to_string().contains("other settings"), "{message}");
    let file = folder.path().join("epoch-1.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let message = one.resume(folder.path()).unwrap_err().to_string();
    assert!(message.contains("checksum"), "{message}");

    assert!(matches!(
        one.epoch(&[&[3], &[]]),
        Err(TrainError::NoTargets { histories: 2 })
    ));
    assert!(matches!(
        one.epoch(&[&[3, 40]]),
        Err(TrainError::Item {
            item: 40,
            catalogue: 40
        })
    ));
    let config = SasRecConfig {
        heads: 3,
        ..small()
    };
    let message = SasRec::new(&config, 0).err().map(|error| error.to_string());
    assert_eq!(
        message.as_deref(),
        Some("heads = 3: a divisor of the width")
    );
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
