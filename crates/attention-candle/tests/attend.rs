//! Attention on the tape: against candle's own materialised attention in f64, for every registered variant
//! against finite differences of its f64 form.

mod support;

use attention::dropout::Dropout;
use attention::mask::Alignment;
use attention::{Attention, Feature, Geometry, Layout, Mask, Problem, Shape};
use attention_candle::{Attend, Error};
use attention_variants::{Configured, VARIANTS};
use candle_core::{D, DType, Device, Tensor, Var};
use ndarray::{ArrayView4, ArrayViewD, IxDyn};
use std::sync::Arc;
use support::{agree, engine, numbers, values};

fn variant(name: &str) -> Arc<dyn Attention> {
    Configured::new(name, []).unwrap().build().unwrap().into()
}

/// softmax(QKᵀ/√D + bias)·keep·V, all of it materialised; `bias` and `keep` are `[Nq, Nk]`.
fn materialised(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: &Tensor,
    keep: Option<&Tensor>,
) -> Tensor {
    let scale = 1.0 / (q.dim(D::Minus1).unwrap() as f64).sqrt();
    let scores = (q.matmul(&k.t().unwrap()).unwrap() * scale).unwrap();
    let scores = scores.broadcast_add(bias).unwrap();
    let scores = scores
        .broadcast_sub(&scores.max_keepdim(D::Minus1).unwrap())
        .unwrap();
    let e = scores.exp().unwrap();
    let p = e.broadcast_div(&e.sum_keepdim(D::Minus1).unwrap()).unwrap();
    let p = keep.map_or(p.clone(), |keep| (p * keep).unwrap());
    p.matmul(v).unwrap()
}

fn visible(nq: usize, nk: usize, sees: impl Fn(usize, usize) -> bool) -> Tensor {
    let far = |seen: bool| if seen { 0.0 } else { -1e9 };
    let bias: Vec<f64> = (0..nq * nk).map(|at| far(sees(at / nk, at % nk))).collect();
    Tensor::from_vec(bias, (nq, nk), &Device::Cpu).unwrap()
}

#[test]
fn exact_attention_has_the_gradients_of_the_materialised_form() {
    let q = numbers(1, (2, 3, 33, 20), 1.0);
    let (k, v) = (
        numbers(2, (2, 3, 33, 20), 1.0),
        numbers(3, (2, 3, 33, 14), 1.0),
    );
    let dropout = Dropout::new(0.25, 5).unwrap();
    let keep: Vec<f64> = (0..6 * 33 * 33)
        .map(|at| {
            let (history, head, i, j) = (at / 3267, at / 1089 % 3, at / 33 % 33, at % 33);
            let head = dropout.head(history, head);
            f64::from(head.multiplier(head.row(i), j))
        })
        .collect();
    let keep = Tensor::from_vec(keep, (2, 3, 33, 33), &Device::Cpu).unwrap();
    for name in ["blocked", "naive", "naive-gemm"] {
        for dropped in [false, true] {
            agree(
                &[&q, &k, &v],
                |engine, x| {
                    Attend::new(variant(name), engine)
                        .with_mask(Mask::causal(Alignment::TopLeft))
                        .with_dropout(dropped.then_some(dropout))
                        .forward(&x[0], &x[1], &x[2])
                        .unwrap()
                },
                |x| {
                    let causal = visible(33, 33, |i, j| j <= i);
                    materialised(&x[0], &x[1], &x[2], &causal, dropped.then_some(&keep))
                },
            );
        }
    }
}

/// Histories of 9 and 4, once padded and once end to end, heads side by side in a token.
#[test]
fn padded_and_jagged_tokens_agree_with_heads_apart() {
    let lengths = [9usize, 4];
    let (h, d) = (2, 6);
    let x = [1, 2, 3].map(|seed| numbers(seed, (2, 9, h * d), 1.0));
    let heads = |t: &Tensor| t.reshape((2, 9, h, d)).unwrap().transpose(1, 2).unwrap();
    let mask = Mask::causal(Alignment::TopLeft);
    let jagged = |t: &Tensor| {
        let rows: Vec<Tensor> = (0..2)
            .map(|b| t.get(b).unwrap().narrow(0, 0, lengths[b]).unwrap())
            .collect();
        Tensor::cat(&rows, 0).unwrap()
    };
    let offsets: Arc<[usize]> = [0, 9, 13].into();
    // The queries that exist, whatever stands in the padding.
    let plain = |x: &[Var]| {
        let rows: Vec<Tensor> = (0..2)
            .map(|b| {
                let [q, k, v] = [0, 1, 2].map(|n| {
                    heads(&x[n])
                        .get(b)
                        .unwrap()
                        .narrow(1, 0, lengths[b])
                        .unwrap()
                });
                let causal = visible(lengths[b], lengths[b], |i, j| j <= i);
                let o = materialised(
                    &q.contiguous().unwrap(),
                    &k.contiguous().unwrap(),
                    &v.contiguous().unwrap(),
                    &causal,
                    None,
                );
                o.transpose(0, 1)
                    .unwrap()
                    .reshape((lengths[b], h * d))
                    .unwrap()
            })
            .collect();
        Tensor::cat(&rows, 0).unwrap()
    };
    let vars: Vec<&Var> = x.iter().collect();
    agree(
        &vars,
        |engine, x| {
            let layout = Layout::Jagged {
                q: offsets.clone(),
                k: offsets.clone(),
            };
            let attend = Attend::new(variant("blocked"), engine)
                .with_mask(mask.clone())
                .with_layout(layout);
            let [q, k, v] = [0, 1, 2].map(|n| jagged(&x[n]));
            attend.forward_tokens((h, h), &q, &k, &v, &[]).unwrap()
        },
        plain,
    );
    agree(
        &vars,
        |engine, x| {
            let mask = mask.clone().and(&Mask::key_lengths(lengths));
            let attend = Attend::new(variant("blocked"), engine).with_mask(mask);
            jagged(
                &attend
                    .forward_tokens((h, h), &x[0], &x[1], &x[2], &[])
                    .unwrap(),
            )
        },
        plain,
    );
}

/// A variant's f64 form as a number: the weighted sum of all outputs of one history and head.
fn form(
    attention: &dyn Attention,
    mask: &Mask,
    inputs: &[(Vec<f32>, Vec<usize>)],
    names: &[&'static str],
    weights: &[f64],
) -> f64 {
    let four = |n: usize| {
        let (data, s) = &inputs[n];
        ArrayView4::from_shape((s[0], s[1], s[2], s[3]), data).unwrap()
    };
    let mut problem = Problem::new(four(0), four(1), four(2))
        .unwrap()
        .with_mask(mask.clone())
        .unwrap();
    for (name, (data, shape)) in names.iter().zip(&inputs[3..]) {
        problem = problem.with_tensor(name, ArrayViewD::from_shape(IxDyn(shape), data).unwrap());
    }
    let rows: Vec<usize> = (0..problem.shape().nq).collect();
    let o = attention.form_f64(&problem, 0, 0, &rows).unwrap().output;
    o.iter().zip(weights).map(|(o, w)| o * w).sum()
}

/// Directional derivatives, since single entries drown in the rounding of f32 inputs.
#[test]
fn every_variant_with_gradients_has_those_of_its_f64_form() {
    for variant in VARIANTS {
        let attention: Arc<dyn Attention> = Configured::new(variant.name, [])
            .unwrap()
            .build()
            .unwrap()
            .into();
        if !attention.capabilities().has(Feature::Backward) {
            continue;
        }
        let causal = attention.capabilities().has(Feature::Causal);
        let mask = if causal {
            Mask::causal(Alignment::TopLeft)
        } else {
            Mask::full()
        };
        let (n, d) = (24, 8);
        let shape = Shape {
            b: 1,
            h: 1,
            hkv: 1,
            nq: n,
            nk: n,
            d,
            dv: d,
        };
        let geometry = Geometry::padded(shape, mask.clone()).unwrap();
        let mut vars: Vec<Var> = [1, 2, 3]
            .map(|seed| numbers(seed, (1, 1, n, d), 1.0))
            .into();
        let specs = attention.tensors(&geometry);
        for (at, spec) in specs.iter().enumerate() {
            let begin: Vec<f32> = spec.make(4).into_iter().collect();
            let begin = Tensor::from_vec(begin, spec.shape.clone(), &Device::Cpu).unwrap();
            let noise = numbers(10 + at as u32, spec.shape.clone(), 0.03);
            vars.push(Var::from_tensor(&(noise.as_tensor() + begin).unwrap()).unwrap());
        }
        let names: Vec<&'static str> = specs.iter().map(|s| s.name).collect();
        let extras: Vec<(&'static str, &Tensor)> = names
            .iter()
            .copied()
            .zip(vars[3..].iter().map(Var::as_tensor))
            .collect();
        let weights = numbers(50, (1, 1, n, d), 1.0);
        let attend = Attend::new(attention.clone(), &engine(2)).with_mask(mask.clone());
        let o = attend
            .forward_with(&vars[0], &vars[1], &vars[2], &extras)
            .unwrap();
        let loss = (o * weights.as_tensor()).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();

        let data = |v: &Var| v.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let weights: Vec<f64> = values(&weights);
        for (at, var) in vars.iter().enumerate() {
            // A step of a power of two moves most inputs without rounding.
            let step = 2f32.powi(-9);
            let direction: Vec<f32> = data(&numbers(70, var.shape().clone(), 1.0))
                .iter()
                .map(|x| x.signum())
                .collect();
            let moved = |sign: f32| {
                let mut inputs: Vec<_> =
                    vars.iter().map(|v| (data(v), v.dims().to_vec())).collect();
                inputs[at]
                    .0
                    .iter_mut()
                    .zip(&direction)
                    .for_each(|(x, way)| *x += sign * step * way);
                inputs
            };
            let (up, down) = (moved(1.0), moved(-1.0));
            let rise = form(&*attention, &mask, &up, &names, &weights)
                - form(&*attention, &mask, &down, &names, &weights);
            let gradient = values(gradients.get(var).expect("a gradient for every input"));
            // Along the steps as they were after rounding.
            let way = up[at]
                .0
                .iter()
                .zip(&down[at].0)
                .map(|(u, d)| f64::from(*u) - f64::from(*d));
            let found: f64 = gradient.iter().zip(way).map(|(g, w)| g * w).sum();
            let size = gradient.iter().map(|g| g * g).sum::<f64>().sqrt() * f64::from(step);
            let apart = (found - rise).abs() / size.max(1e-9);
            assert!(
                apart < 2e-2,
                "{}, input {at}: {found} for {rise}",
                variant.name
            );
        }
    }
}

#[test]
fn what_a_variant_cannot_do_is_refused_by_name() {
    let engine = engine(1);
    let x = numbers(1, (1, 1, 8, 16), 1.0);
    let constant = x.as_detached_tensor();
    let quantized = Attend::new(variant("blocked-int8"), &engine);
    assert!(
        quantized.forward(&constant, &constant, &constant).is_ok(),
        "without gradients it answers"
    );
    let message = quantized.forward(&x, &x, &x).unwrap_err().to_string();
    assert!(
        message.contains("blocked-int8 does not support backward"),
        "{message}"
    );

    let dropout = Dropout::new(0.1, 1).unwrap();
    let linear = Attend::new(variant("linear-relu"), &engine).with_dropout(Some(dropout));
    assert!(matches!(
        linear.forward(&x, &x, &x),
        Err(Error::Attention(attention::Error::Unsupported { .. }))
    ));
    let gated = Attend::new(variant("deltanet"), &engine);
    let message = gated.forward(&x, &x, &x).unwrap_err().to_string();
    assert!(message.contains("needs the tensor `beta`"), "{message}");
    let odd = numbers(2, (1, 1, 7, 16), 1.0);
    assert!(matches!(
        Attend::new(variant("blocked"), &engine).forward(&x, &x, &odd),
        Err(Error::Shape { tensor: "V", .. })
    ));
    let offsets: Arc<[usize]> = [0, 5].into();
    let jagged = Attend::new(variant("blocked"), &engine).with_layout(Layout::Jagged {
        q: offsets.clone(),
        k: offsets,
    });
    assert!(matches!(
        jagged.forward(&x, &x, &x),
        Err(Error::Attention(attention::Error::Offsets { .. }))
    ));
    assert!(x.to_dtype(DType::F64).is_ok_and(|wide| {
        Attend::new(variant("blocked"), &engine)
            .forward(&wide, &wide, &wide)
            .is_err()
    }));
}
