//! Every model: its gradient, its bits, and that it learns.

mod candidates;
mod features;
mod positions;
mod sequence;
mod user_state;

use attention::Workers;
use attention_candle::{Engine, Tape};
use candle_core::{Tensor, Var};
use ndarray::Array2;
use recommender::loss::Loss;
use recommender::model::SequenceModel;
use recommender::train::{TrainConfig, Trainer};
use recommender::{ShopConfig, simulate_shop};

/// Items of the simulated shop.
const ITEMS: usize = 40;

fn shop() -> Vec<Vec<u32>> {
    let shop = ShopConfig {
        users: 300,
        items: ITEMS,
        clusters: 5,
        ..ShopConfig::default()
    };
    let log = simulate_shop(&shop).unwrap().interactions;
    log.histories().map(<[u32]>::to_vec).collect()
}

fn views(histories: &[Vec<u32>]) -> Vec<&[u32]> {
    histories.iter().map(Vec::as_slice).collect()
}

fn trainer(model: Box<dyn SequenceModel>, loss: Loss, threads: usize) -> Trainer {
    let config = TrainConfig {
        batch: 32,
        loss,
        learning_rate: 5e-3,
        ..TrainConfig::default()
    };
    let engine = Engine::new(Workers::new(threads).unwrap());
    Trainer::new(model, ITEMS, config, engine).unwrap()
}

fn scores(trainer: &Trainer, histories: &[&[u32]]) -> Array2<f32> {
    let mut scores = Array2::zeros((histories.len(), ITEMS));
    trainer
        .scorer()
        .score(histories, scores.view_mut())
        .unwrap();
    scores
}

fn losses_of(trainer: &mut Trainer, histories: &[&[u32]], epochs: usize) -> Vec<f64> {
    let epoch = |_| trainer.epoch(histories).unwrap().loss;
    (0..epochs).map(epoch).collect()
}

/// Trains on one thread and on two and asserts that losses and scores are the same bits; gives the losses of the epochs.
fn losses_on_any_threads(
    model: impl Fn() -> Box<dyn SequenceModel>,
    loss: Loss,
    epochs: usize,
) -> Vec<f64> {
    let histories = shop();
    let histories = views(&histories);
    let runs = [1, 2].map(|threads| {
        let mut trainer = trainer(model(), loss, threads);
        let losses = losses_of(&mut trainer, &histories, epochs);
        (losses, scores(&trainer, &histories[..20]))
    });
    let [one, two] = runs;
    assert_eq!(one, two, "one thread and two");
    one.0
}

/// Asserts that the gradient of a loss is its slope along the gradient itself, tensor by tensor, and that candle's way
/// back and a tape's agree.
fn assert_slopes<'v>(
    loss_on: impl Fn(&Engine) -> Tensor,
    vars: impl Iterator<Item = (&'v str, &'v Var)>,
) {
    let engine = Engine::new(Workers::serial());
    let loss = || loss_on(&engine);
    let tape = Tape::default();
    let taped = tape.backward(&loss_on(&engine.with_tape(&tape))).unwrap();
    let value = |loss: Tensor| f64::from(loss.to_scalar::<f32>().unwrap());
    let gradients = loss().backward().unwrap();
    for (name, var) in vars {
        let gradient = gradients
            .get(var)
            .unwrap_or_else(|| panic!("no gradient of {name}"));
        let apart = (gradient - taped.get(var).unwrap()).unwrap().abs().unwrap();
        let apart = value(apart.flatten_all().unwrap().max(0).unwrap());
        assert!(apart < 1e-6, "{name}: the tape's differs by {apart}");
        let size = value(gradient.sqr().unwrap().sum_all().unwrap()).sqrt();
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
            "{name}: {slope} for {expected}"
        );
    }
}
