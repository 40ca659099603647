//! Inputs, and comparison with what candle's own materialised operations give in f64.
#![allow(dead_code)]

use attention::Workers;
use attention_candle::Engine;
use candle_core::{DType, Device, Tensor, Var};

/// Numbers without pattern in ±scale.
pub(crate) fn numbers(seed: u32, shape: impl Into<candle_core::Shape>, scale: f32) -> Var {
    let shape = shape.into();
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let data = (0..shape.elem_count()).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        scale * (state as f32 / u32::MAX as f32 * 2.0 - 1.0)
    });
    let tensor = Tensor::from_vec(data.collect::<Vec<_>>(), shape, &Device::Cpu);
    Var::from_tensor(&tensor.unwrap()).unwrap()
}

pub(crate) fn engine(threads: usize) -> Engine {
    Engine::new(Workers::new(threads).unwrap())
}

/// The same numbers in f64.
pub(crate) fn wide(vars: &[&Var]) -> Vec<Var> {
    let wide = |var: &&Var| Var::from_tensor(&var.to_dtype(DType::F64).unwrap()).unwrap();
    vars.iter().map(wide).collect()
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    flat.to_vec1().unwrap()
}

/// The relative Frobenius distance.
pub(crate) fn distance(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (values(found), values(expected));
    let square = |x: f64| x * x;
    let apart: f64 = found
        .iter()
        .zip(&expected)
        .map(|(f, e)| square(f - e))
        .sum();
    let size: f64 = expected.iter().map(|e| square(*e)).sum();
    (apart / size.max(1e-30)).sqrt()
}

/// Asserts that a fused op and its plain form in f64 agree, in value and in all gradients, and that one and
/// three workers give the same bits. The loss weighs the outputs unevenly.
pub(crate) fn agree(
    vars: &[&Var],
    fused: impl Fn(&Engine, &[Var]) -> Tensor,
    plain: impl Fn(&[Var]) -> Tensor,
) {
    let own: Vec<Var> = vars.iter().map(|v| (*v).clone()).collect();
    let wide = wide(vars);
    let answers = [1, 3].map(|threads| {
        let y = fused(&engine(threads), &own);
        let weights = numbers(99, y.shape().clone(), 1.0);
        let loss = (&y * weights.as_tensor()).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let of = |v: &Var| {
            gradients
                .get(v)
                .expect("a gradient for every input")
                .clone()
        };
        (y, weights, own.iter().map(of).collect::<Vec<_>>())
    });
    let [(y, weights, gradients), (other, _, others)] = &answers;
    assert_eq!(values(y), values(other), "output on other workers");
    for (gradient, other) in gradients.iter().zip(others) {
        assert_eq!(values(gradient), values(other), "gradient on other workers");
    }

    let expected = plain(&wide);
    assert!(
        distance(y, &expected) < 1e-6,
        "output: {}",
        distance(y, &expected)
    );
    let weights = weights.to_dtype(DType::F64).unwrap();
    let loss = (&expected * weights).unwrap().sum_all().unwrap();
    let expected = loss.backward().unwrap();
    for (n, (gradient, var)) in gradients.iter().zip(&wide).enumerate() {
        let apart = distance(gradient, expected.get(var).unwrap());
        assert!(apart < 3e-6, "gradient {n}: {apart}");
    }
}
