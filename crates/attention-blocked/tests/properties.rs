//! Random shapes, masks and ragged batches against the f64 oracle.

use attention::mask::{Alignment, BlockMask, Mask};
use attention::variant::Parameters;
use attention::{Attention, Output, Problem, Scratch, Workers, oracle};
use attention_blocked::BLOCKED;
use ndarray::{Array2, Array4, Axis};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal(shape: (usize, usize, usize, usize), seed: u64) -> Array4<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array4::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng))
}

fn blocked() -> Box<dyn Attention> {
    (BLOCKED.build)(&Parameters::defaults(BLOCKED.parameters)).expect("defaults")
}

/// Largest relative error of a row, O and L.
fn worst(problem: &Problem<'_>) -> f64 {
    let mut output = Output::poisoned(problem.geometry(), true);
    blocked()
        .forward(
            problem,
            output.view_mut(),
            &Workers::serial(),
            &mut Scratch::new(),
        )
        .expect("an answer");
    let lse = output.lse.expect("L was asked for");
    let mut worst = 0.0f64;
    for head in problem.heads() {
        let rows: Vec<usize> = (0..head.q.nrows()).collect();
        let exact = oracle::rows(&head, &rows);
        let (batch, start) = if problem.geometry().is_jagged() {
            (0, problem.geometry().query_range(head.sequence).start)
        } else {
            (head.sequence, 0)
        };
        for i in rows {
            let o = output.o.index_axis(Axis(0), batch);
            let got = o
                .index_axis(Axis(0), head.head)
                .row(start + i)
                .mapv(f64::from);
            let error = (&got - &exact.output.row(i)).mapv(|x| x * x).sum().sqrt();
            let norm = exact
                .weights
                .row(i)
                .iter()
                .zip(head.v.outer_iter())
                .fold(0.0, |n, (w, v)| {
                    n + w * v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
                });
            worst = worst.max(if norm == 0.0 { error } else { error / norm });
            let (got, exact) = (f64::from(lse[[batch, head.head, start + i]]), exact.lse[i]);
            let off = if got == exact {
                0.0
            } else {
                (got - exact).abs() / exact.abs().max(1.0)
            };
            worst = if off.is_nan() {
                f64::INFINITY
            } else {
                worst.max(off)
            };
        }
    }
    worst
}

fn mask(kind: u8, b: usize, nq: usize, nk: usize, seed: u64) -> Mask {
    let pick = |n: usize| (seed >> 7) as usize % n;
    match kind {
        0 => Mask::full(),
        1 => Mask::causal(Alignment::TopLeft),
        2 => Mask::causal(Alignment::BottomRight),
        3 => Mask::window(1 + pick(nk + 3)),
        4 => Mask::key_lengths(
            (0..b)
                .map(|s| (pick(nk + 1) + 31 * s) % (nk + 1))
                .collect::<Vec<_>>(),
        ),
        5 => Mask::dense(Array2::from_shape_fn((nq, nk), |(i, j)| {
            (seed ^ (i * 2_654_435_761 + j * 40_503) as u64).is_multiple_of(3)
        })),
        _ => Mask::blocks(BlockMask::random(nq, nk, 1 + pick(90), 0.3, seed).expect("in range")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn padded_batches_agree_with_the_oracle(
        (b, hkv, group) in (1usize..3, 1usize..3, 1usize..3),
        (nq, nk) in (1usize..150, 1usize..150),
        (d, dv) in (1usize..70, 1usize..70),
        kinds in (0u8..7, 0u8..7),
        seed in any::<u64>(),
    ) {
        let (q, k) = (normal((b, hkv * group, nq, d), seed), normal((b, hkv, nk, d), seed ^ 1));
        let v = normal((b, hkv, nk, dv), seed ^ 2);
        let both = mask(kinds.0, b, nq, nk, seed).and(&mask(kinds.1, b, nq, nk, seed.rotate_left(20)));
        let problem = Problem::new(q.view(), k.view(), v.view()).unwrap().with_mask(both).unwrap();
        prop_assert!(worst(&problem) < 2e-6, "{}", worst(&problem));
    }

    #[test]
    fn ragged_batches_agree_with_the_oracle(
        lengths in proptest::collection::vec((0usize..140, 0usize..140), 1..5),
        causal in any::<bool>(),
        d in 1usize..40,
        seed in any::<u64>(),
    ) {
        let offsets = |pick: fn(&(usize, usize)) -> usize| -> Vec<usize> {
            let ends = lengths.iter().scan(0, |end, n| { *end += pick(n); Some(*end) });
            std::iter::once(0).chain(ends).collect()
        };
        let (q_offsets, k_offsets) = (offsets(|n| n.0), offsets(|n| n.1));
        let (nq, nk) = (q_offsets[lengths.len()], k_offsets[lengths.len()]);
        let (q, k, v) = (normal((1, 2, nq, d), seed), normal((1, 2, nk, d), seed ^ 1), normal((1, 2, nk, 5), seed ^ 2));
        let mask = if causal { Mask::causal(Alignment::BottomRight) } else { Mask::full() };
        let problem = Problem::jagged(q.view(), k.view(), v.view(), q_offsets, k_offsets)
            .unwrap()
            .with_mask(mask)
            .unwrap();
        prop_assert!(worst(&problem) < 2e-6, "{}", worst(&problem));
    }
}
