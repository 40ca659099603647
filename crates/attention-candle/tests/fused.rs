//! Fused ops against candle's own operations in f64.

mod support;

use attention::dropout::Dropout;
use attention_candle::{
    Activation, Affine, Drop, Embed, Engine, Error, LayerNorm, dropout, gated_norm, gather,
    layer_norm, unit_rows,
};
use candle_core::{D, DType, Device, Tensor, Var};
use support::{agree, engine, numbers, values};

/// More rows than a block has, so that sums are made of parts; a width that no vector divides.
const ROWS: usize = 300;

fn norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Tensor {
    let centred = x
        .broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap())
        .unwrap();
    let variance = centred.sqr().unwrap().mean_keepdim(D::Minus1).unwrap();
    let unit = centred
        .broadcast_div(&(variance + epsilon).unwrap().sqrt().unwrap())
        .unwrap();
    let (gain, shift) = (weight.get(0).unwrap(), weight.get(1).unwrap());
    unit.broadcast_mul(&gain)
        .unwrap()
        .broadcast_add(&shift)
        .unwrap()
}

#[test]
fn layer_norm_has_its_gradients() {
    let (x, weight) = (numbers(1, (2, ROWS, 50), 2.0), numbers(2, (2, 50), 1.0));
    agree(
        &[&x, &weight],
        |engine, v| layer_norm(engine, &v[0], &v[1], 1e-8).unwrap(),
        |v| norm(&v[0], &v[1], 1e-8),
    );
}

#[test]
fn layer_norm_has_its_gradients_behind_an_activation_and_beside_a_residual() {
    let (x, weight) = (numbers(11, (ROWS, 50), 2.0), numbers(12, (2, 50), 1.0));
    let residual = numbers(13, (ROWS, 50), 1.0);
    let relu = |engine: &Engine| LayerNorm::new(engine, 1e-8).with_activation(Activation::Relu);
    agree(
        &[&x, &weight],
        |engine, v| relu(engine).forward(&v[0], &v[1]).unwrap(),
        |v| norm(&v[0], &v[1], 1e-8).relu().unwrap(),
    );
    agree(
        &[&x, &weight, &residual],
        |engine, v| relu(engine).forward_onto(&v[2], &v[0], &v[1]).unwrap(),
        |v| (norm(&v[0], &v[1], 1e-8).relu().unwrap() + v[2].as_tensor()).unwrap(),
    );
    let odd = numbers(14, (ROWS, 49), 1.0);
    let refused = relu(&engine(1)).forward_onto(&odd, &x, &weight);
    assert!(matches!(refused, Err(Error::Shape { .. })));
}

#[test]
fn unit_rows_have_their_gradients() {
    let x = numbers(11, (2, ROWS, 50), 0.3);
    // An epsilon that counts.
    for epsilon in [1e-6, 0.5] {
        agree(
            &[&x],
            |engine, v| unit_rows(engine, &v[0], 20.0, epsilon).unwrap(),
            |v| {
                let square = v[0].sqr().unwrap().sum_keepdim(D::Minus1).unwrap();
                let length = (square + f64::from(epsilon * epsilon)).unwrap().sqrt();
                (v[0].broadcast_div(&length.unwrap()).unwrap() * 20.0).unwrap()
            },
        );
    }
}

#[test]
fn a_gated_norm_has_its_gradients_under_dropout() {
    let (x, gate) = (numbers(12, (ROWS, 50), 2.0), numbers(13, (ROWS, 50), 1.0));
    for drop in [Drop::NONE, some_drop()] {
        agree(
            &[&x, &gate],
            |engine, v| gated_norm(engine, &v[0], &v[1], 1e-6, drop).unwrap(),
            |v| {
                let one = v[0].get(0).unwrap().ones_like().unwrap();
                let plain = Tensor::stack(&[&one, &one.zeros_like().unwrap()], 0).unwrap();
                let gated = (norm(&v[0], &plain, 1e-6) * v[1].as_tensor()).unwrap();
                (gated * factors((ROWS, 50), drop)).unwrap()
            },
        );
    }
}

/// What a fused dropout kept, as factors in f64.
fn factors(shape: (usize, usize), drop: Drop) -> Tensor {
    let ones = Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    dropout(&engine(1), &ones, drop)
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
}

fn some_drop() -> Drop {
    Drop::new(Dropout::new(0.3, 7).unwrap(), 2)
}

fn linear(x: &Tensor, weight: &Tensor) -> Tensor {
    let width = weight.dim(0).unwrap() - 1;
    let product = x.matmul(&weight.narrow(0, 0, width).unwrap()).unwrap();
    product.broadcast_add(&weight.get(width).unwrap()).unwrap()
}

#[test]
fn affine_has_its_gradients_under_every_activation() {
    let (x, weight) = (numbers(3, (ROWS, 50), 1.0), numbers(4, (51, 37), 0.4));
    let one = |x: &Tensor| x.ones_like().unwrap();
    let sigmoid =
        |x: &Tensor| (one(x) / (one(x) + x.neg().unwrap().exp().unwrap()).unwrap()).unwrap();
    let softplus = |x: &Tensor| (one(x) + x.exp().unwrap()).unwrap().log().unwrap();
    type Plain<'a> = &'a dyn Fn(&Tensor) -> Tensor;
    let cases: [(Activation, Plain<'_>); 6] = [
        (Activation::Identity, &|x| x.clone()),
        (Activation::Relu, &|x| x.relu().unwrap()),
        (Activation::Silu, &|x| (x * sigmoid(x)).unwrap()),
        (Activation::Sigmoid, &sigmoid),
        (Activation::Softplus, &softplus),
        (Activation::LogSigmoid, &|x| {
            softplus(&x.neg().unwrap()).neg().unwrap()
        }),
    ];
    for (activation, plain) in cases {
        agree(
            &[&x, &weight],
            |engine, v| {
                let affine = Affine::new(engine)
                    .with_activation(activation)
                    .with_factor(0.25)
                    .with_drop(some_drop());
                affine.forward(&v[0], &v[1]).unwrap()
            },
            |v| {
                let active = (plain(&linear(&v[0], &v[1])) * 0.25).unwrap();
                (active * factors((ROWS, 37), some_drop())).unwrap()
            },
        );
    }
}

#[test]
fn affine_adds_to_a_residual_that_keeps_its_gradient() {
    let (x, weight) = (numbers(5, (ROWS, 20), 1.0), numbers(6, (21, 50), 0.4));
    let residual = numbers(7, (ROWS, 50), 1.0);
    agree(
        &[&x, &weight, &residual],
        |engine, v| {
            let affine = Affine::new(engine).with_drop(some_drop());
            affine.forward_onto(&v[2], &v[0], &v[1]).unwrap()
        },
        |v| {
            let thinned = (linear(&v[0], &v[1]) * factors((ROWS, 50), some_drop())).unwrap();
            (thinned + v[2].as_tensor()).unwrap()
        },
    );
}

#[test]
fn embeddings_scatter_their_gradients_into_both_tables() {
    let (table, positions) = (numbers(8, (40, 50), 1.0), numbers(9, (30, 50), 1.0));
    let ids: Vec<u32> = (0..ROWS as u32).map(|t| t * t % 40).collect();
    let places: Vec<u32> = (0..ROWS as u32).map(|t| t % 30).collect();
    let index = |ids: &[u32]| Tensor::new(ids, &Device::Cpu).unwrap();
    agree(
        &[&table, &positions],
        |engine, v| {
            let embed = Embed::new(engine, &ids[..])
                .with_scale(3.0)
                .with_drop(some_drop());
            embed.forward_at(&v[0], &v[1], &places[..]).unwrap()
        },
        |v| {
            let rows = (v[0].index_select(&index(&ids), 0).unwrap() * 3.0).unwrap();
            let sum = (rows + v[1].index_select(&index(&places), 0).unwrap()).unwrap();
            (sum * factors((ROWS, 50), some_drop())).unwrap()
        },
    );
    agree(
        &[&table],
        |engine, v| gather(engine, &v[0], &ids[..]).unwrap(),
        |v| v[0].index_select(&index(&ids), 0).unwrap(),
    );
}

#[test]
fn dropout_keeps_its_share_and_its_choices_and_passes_gradients_by_them() {
    let x = numbers(10, (400, 50), 1.0);
    let kept = values(&factors((400, 50), some_drop()));
    let share = kept.iter().filter(|&&f| f > 0.0).count() as f64 / kept.len() as f64;
    assert!((share - 0.7).abs() < 0.015, "{share}");
    assert!(
        kept.iter()
            .all(|&f| f == 0.0 || (f - 1.0 / 0.7).abs() < 1e-6)
    );
    let elsewhere = Drop::new(Dropout::new(0.3, 7).unwrap(), 3);
    assert_ne!(
        kept,
        values(&factors((400, 50), elsewhere)),
        "another site draws anew"
    );
    agree(
        &[&x],
        |engine, v| dropout(engine, &v[0], some_drop()).unwrap(),
        |v| (v[0].as_tensor() * factors((400, 50), some_drop())).unwrap(),
    );
}

#[test]
fn what_does_not_fit_is_refused_with_shapes() {
    let engine = engine(1);
    let x = numbers(1, (4, 6), 1.0);
    let odd = numbers(2, (2, 5), 1.0);
    let message = layer_norm(&engine, &x, &odd, 1e-5).unwrap_err().to_string();
    assert!(
        message.contains("[2, 5]") && message.contains("[2, D] = [2, 6]"),
        "{message}"
    );
    assert!(matches!(
        Affine::new(&engine).forward(&x, &odd),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        gather(&engine, &x, [0, 4]),
        Err(Error::Row {
            row: 4,
            rows: 4,
            ..
        })
    ));
    assert!(matches!(
        gated_norm(&engine, &x, &odd, 1e-5, Drop::NONE),
        Err(Error::Shape { .. })
    ));
    let wide = Var::from_tensor(&x.to_dtype(DType::F64).unwrap()).unwrap();
    assert!(layer_norm(&engine, &wide, &odd, 1e-5).is_err());
    assert!(unit_rows(&engine, &wide, 1.0, 1e-5).is_err());
}
