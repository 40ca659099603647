//! The tape's reverse pass against candle's.

mod support;

use attention::mask::Alignment;
use attention::{Mask, Workers};
use attention_candle::{Activation, Affine, Attend, Engine, Tape, layer_norm};
use candle_core::{Tensor, Var};
use support::{numbers, values};

/// Fused ops with candle's own before, between and behind them, a tensor that is used four times, and one that
/// reaches an op by two ways.
fn model(engine: &Engine, x: &Tensor, [wide, norm, back]: [&Var; 3]) -> Tensor {
    let x = (x * 0.5).unwrap();
    let qkv = Affine::new(engine)
        .with_activation(Activation::Silu)
        .forward(&x, wide)
        .unwrap();
    let part = |n: usize| qkv.narrow(1, 8 * n, 8).unwrap();
    let attention = attention_variants::Configured::new("blocked", [])
        .and_then(|configured| configured.build())
        .unwrap();
    let o = Attend::new(attention.into(), engine)
        .with_mask(Mask::causal(Alignment::TopLeft))
        .forward_tokens((2, 2), &part(0), &part(1), &part(2), &[])
        .unwrap();
    let gated = (o * part(3)).unwrap();
    let y = layer_norm(engine, &gated, norm, 1e-5).unwrap();
    let y = Affine::new(engine).forward_onto(&y, &y, back).unwrap();
    (y.sqr().unwrap() + &gated).unwrap().mean_all().unwrap()
}

#[test]
fn the_tapes_gradients_are_candles() {
    let x = numbers(1, (7, 8), 1.0);
    let (wide, norm, back) = (
        numbers(2, (9, 32), 0.5),
        numbers(3, (2, 8), 1.0),
        numbers(4, (9, 8), 0.5),
    );
    let learned = [&wide, &norm, &back];
    let engine = Engine::new(Workers::serial());
    let expected = model(&engine, &x, learned);
    let tape = Tape::default();
    let loss = model(&engine.with_tape(&tape), &x, learned);
    assert_eq!(values(&loss), values(&expected));
    let (expected, found) = (expected.backward().unwrap(), tape.backward(&loss).unwrap());
    for var in [&x, &wide, &norm, &back] {
        let apart = support::distance(found.get(var).unwrap(), expected.get(var).unwrap());
        assert!(apart < 1e-6, "{:?}: {apart}", var.dims());
    }
    assert_eq!(found.get_ids().count(), 4, "nothing but variables");
    let again = tape.backward(&loss).unwrap();
    assert!(again.get(&wide).is_none(), "the tape is empty");
}

#[test]
fn what_nothing_asks_gradients_of_is_not_kept() {
    let engine = Engine::new(Workers::serial());
    let tape = Tape::default();
    let (x, weight) = (numbers(1, (3, 4), 1.0), numbers(2, (5, 4), 1.0));
    let y = Affine::new(&engine.with_tape(&tape))
        .forward(&x.detach(), &weight.detach())
        .unwrap();
    assert!(!y.track_op());
}
