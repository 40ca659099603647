//! Losses against their definitions over whole tensors of logits, in f64.

mod support;

use attention_candle::{Objective, SKIP, sampled_loss, softmax_loss};
use candle_core::{D, Device, Tensor};
use support::{agree, numbers};

const POSITIONS: usize = 300;

fn log_softmax(x: &Tensor) -> Tensor {
    let max = x.max_keepdim(D::Minus1).unwrap().detach();
    let x = x.broadcast_sub(&max).unwrap();
    let total = x
        .exp()
        .unwrap()
        .sum_keepdim(D::Minus1)
        .unwrap()
        .log()
        .unwrap();
    x.broadcast_sub(&total).unwrap()
}

/// ln(1 + exp(x)) where no logit is large.
fn softplus(x: &Tensor) -> Tensor {
    (x.exp().unwrap() + 1.0).unwrap().log().unwrap()
}

/// Weights of positions: those that are skipped have none.
fn counts(targets: &[u32]) -> Tensor {
    let counts: Vec<f64> = targets
        .iter()
        .map(|&t| f64::from(u8::from(t != SKIP)))
        .collect();
    Tensor::new(counts, &Device::Cpu).unwrap()
}

fn kept(ids: &[u32]) -> Vec<u32> {
    ids.iter()
        .map(|&id| if id == SKIP { 0 } else { id })
        .collect()
}

#[test]
fn sampled_losses_are_their_definitions() {
    let (h, table) = (numbers(1, (POSITIONS, 50), 1.0), numbers(2, (60, 50), 0.5));
    for negatives in [1, 40] {
        let each = 1 + negatives;
        let mut candidates: Vec<u32> = (0..(POSITIONS * each) as u32)
            .map(|n| (n * n + n / 7) % 60)
            .collect();
        candidates[17 * each] = SKIP;
        let positives: Vec<u32> = candidates.iter().step_by(each).copied().collect();
        let logits = |h: &Tensor, table: &Tensor| {
            let index = Tensor::new(kept(&candidates), &Device::Cpu).unwrap();
            let items = table
                .index_select(&index, 0)
                .unwrap()
                .reshape((POSITIONS, each, 50))
                .unwrap();
            items
                .matmul(&h.unsqueeze(2).unwrap())
                .unwrap()
                .squeeze(2)
                .unwrap()
        };
        let binary = |beta: f64| {
            let (logits, positives) = (&logits, &positives);
            move |h: &Tensor, table: &Tensor| {
                let s = logits(h, table);
                let positive = softplus(&s.narrow(1, 0, 1).unwrap().neg().unwrap())
                    .squeeze(1)
                    .unwrap();
                let negative = softplus(&s.narrow(1, 1, negatives).unwrap())
                    .sum(1)
                    .unwrap();
                let loss = ((positive * beta).unwrap() + negative).unwrap();
                ((loss * counts(positives)).unwrap().sum_all().unwrap() * 0.25).unwrap()
            }
        };
        let softmax = |h: &Tensor, table: &Tensor| {
            let picked = log_softmax(&logits(h, table))
                .narrow(1, 0, 1)
                .unwrap()
                .squeeze(1)
                .unwrap();
            ((picked * counts(&positives)).unwrap().sum_all().unwrap() * -0.25).unwrap()
        };
        type Plain<'a> = &'a dyn Fn(&Tensor, &Tensor) -> Tensor;
        let cases: [(Objective, Plain<'_>); 3] = [
            (Objective::BinaryCrossEntropy { beta: 1.0 }, &binary(1.0)),
            (Objective::BinaryCrossEntropy { beta: 0.25 }, &binary(0.25)),
            (Objective::Softmax, &softmax),
        ];
        for (objective, plain) in cases {
            agree(
                &[&h, &table],
                |engine, v| {
                    sampled_loss(engine, &v[0], &v[1], &candidates[..], objective, 0.25).unwrap()
                },
                |v| plain(&v[0], &v[1]),
            );
        }
    }
}

#[test]
fn softmax_over_the_catalogue_is_its_definition_in_one_block_and_in_several() {
    let h = numbers(3, (POSITIONS, 20), 1.0);
    for items in [70, 4100, 9000] {
        let table = numbers(4, (items, 20), 0.7);
        let mut targets: Vec<u32> = (0..POSITIONS as u32)
            .map(|t| t * 31 % items as u32)
            .collect();
        targets[5] = SKIP;
        targets[6] = items as u32 - 1;
        agree(
            &[&h, &table],
            |engine, v| softmax_loss(engine, &v[0], &v[1], &targets[..], 0.1).unwrap(),
            |v| {
                let logits = v[0].matmul(&v[1].t().unwrap()).unwrap();
                let index = Tensor::new(kept(&targets), &Device::Cpu)
                    .unwrap()
                    .unsqueeze(1)
                    .unwrap();
                let picked = log_softmax(&logits)
                    .gather(&index, 1)
                    .unwrap()
                    .squeeze(1)
                    .unwrap();
                ((picked * counts(&targets)).unwrap().sum_all().unwrap() * -0.1).unwrap()
            },
        );
    }
}
