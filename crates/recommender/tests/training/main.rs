//! Training: what must not depend on threads, layout, kernel or interruption does not, and it learns.

mod ending;
mod health;
mod hstu;
mod invariance;
mod learning;

use attention::Workers;
use attention_candle::Engine;
use ndarray::Array2;
use recommender::loss::Loss;
use recommender::model::{AttentionConfig, SasRec, SasRecConfig};
use recommender::train::{TrainConfig, Trainer};

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
