//! Ops along histories against candle's own operations in f64.

mod support;

use attention_candle::{Error, gru, unfold_causal};
use candle_core::{DType, Device, Tensor};
use support::{agree, engine, numbers};

/// More histories than a group has, one of them empty, one of one event.
fn offsets() -> Vec<usize> {
    let mut offsets = vec![0];
    for history in 0..20usize {
        offsets.push(offsets[history] + [7, 0, 1, 12, 30][history % 5]);
    }
    offsets
}

fn sigmoid(x: &Tensor) -> Tensor {
    (x.neg().unwrap().exp().unwrap() + 1.0)
        .unwrap()
        .recip()
        .unwrap()
}

/// PyTorch's equations, event by event.
fn plain_gru(inputs: &Tensor, weight: &Tensor, offsets: &[usize]) -> Tensor {
    let width = weight.dim(0).unwrap() - 1;
    let part = |x: &Tensor, gate: usize| x.narrow(1, gate * width, width).unwrap();
    let mut states = Vec::new();
    for bounds in offsets.windows(2) {
        let mut h = Tensor::zeros((1, width), DType::F64, &Device::Cpu).unwrap();
        for t in bounds[0]..bounds[1] {
            let g = inputs.narrow(0, t, 1).unwrap();
            let u = h.matmul(&weight.narrow(0, 0, width).unwrap()).unwrap();
            let u = (u + weight.narrow(0, width, 1).unwrap()).unwrap();
            let r = sigmoid(&(part(&g, 0) + part(&u, 0)).unwrap());
            let z = sigmoid(&(part(&g, 1) + part(&u, 1)).unwrap());
            let n = (part(&g, 2) + (r * part(&u, 2)).unwrap()).unwrap();
            let n = n.tanh().unwrap();
            let rest = (z.neg().unwrap() + 1.0).unwrap();
            h = ((rest * n).unwrap() + (z * h).unwrap()).unwrap();
            states.push(h.clone());
        }
    }
    Tensor::cat(&states, 0).unwrap()
}

#[test]
fn a_gru_has_its_gradients() {
    let offsets = offsets();
    let events = offsets[20];
    let (inputs, weight) = (
        numbers(1, (events, 3 * 13), 1.5),
        numbers(2, (14, 3 * 13), 0.6),
    );
    agree(
        &[&inputs, &weight],
        |engine, v| gru(engine, &v[0], &v[1], &offsets[..]).unwrap(),
        |v| plain_gru(&v[0], &v[1], &offsets),
    );
}

#[test]
fn an_unfolded_history_has_its_gradient_and_knows_no_other() {
    let offsets = offsets();
    let x = numbers(3, (offsets[20], 9), 1.0);
    for (taps, dilation) in [(3, 1), (3, 4), (2, 40), (1, 1)] {
        agree(
            &[&x],
            |engine, v| unfold_causal(engine, &v[0], &offsets[..], taps, dilation).unwrap(),
            |v| {
                let histories = offsets.windows(2).filter(|b| b[1] > b[0]).map(|bounds| {
                    let length = bounds[1] - bounds[0];
                    let x = v[0].narrow(0, bounds[0], length).unwrap();
                    let columns = (0..taps).rev().map(|tap| {
                        let behind = (tap * dilation).min(length);
                        let zeros = Tensor::zeros((behind, 9), DType::F64, &Device::Cpu).unwrap();
                        let kept = x.narrow(0, 0, length - behind).unwrap();
                        Tensor::cat(&[zeros, kept], 0).unwrap()
                    });
                    Tensor::cat(&columns.collect::<Vec<_>>(), 1).unwrap()
                });
                Tensor::cat(&histories.collect::<Vec<_>>(), 0).unwrap()
            },
        );
    }
}

#[test]
fn histories_that_do_not_divide_the_events_are_refused() {
    let engine = engine(1);
    let (inputs, weight) = (numbers(1, (4, 6), 1.0), numbers(2, (3, 6), 1.0));
    for offsets in [&[0, 3][..], &[1, 4], &[0, 3, 2, 4], &[]] {
        let refused = gru(&engine, &inputs, &weight, offsets);
        assert!(
            matches!(
                refused,
                Err(Error::Shape {
                    tensor: "offsets",
                    ..
                })
            ),
            "{offsets:?}"
        );
        assert!(unfold_causal(&engine, &inputs, offsets, 3, 1).is_err());
    }
    assert!(matches!(
        gru(&engine, &inputs, &inputs, [0, 4]),
        Err(Error::Shape {
            tensor: "weight",
            ..
        })
    ));
}
