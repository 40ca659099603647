//! What rounding to bf16 and int8 costs, and that it keeps hidden keys hidden.

use attention::mask::{Alignment, Mask};
use attention::variant::Parameters;
use attention::{Output, Problem, Scratch, Variant, Workers, oracle};
use attention_blocked::{BLOCKED_BF16, BLOCKED_INT8};
use ndarray::{Array4, Axis, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal(shape: (usize, usize, usize, usize), seed: u64) -> Array4<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array4::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng))
}

fn answer(variant: &Variant, problem: &Problem<'_>) -> Output {
    let attention = (variant.build)(&Parameters::defaults(variant.parameters)).expect("defaults");
    let mut output = Output::poisoned(problem.geometry(), true);
    let (workers, mut scratch) = (Workers::serial(), Scratch::new());
    attention
        .forward(problem, output.view_mut(), &workers, &mut scratch)
        .expect("an answer");
    output
}

/// Relative Frobenius error of O against f64 on the inputs as they are.
fn error(variant: &Variant, problem: &Problem<'_>) -> f64 {
    let output = answer(variant, problem);
    let (mut off, mut all) = (0.0, 0.0);
    for head in problem.heads() {
        let rows: Vec<usize> = (0..head.q.nrows()).step_by(7).collect();
        let exact = oracle::rows(&head, &rows).output;
        let o = output.o.slice(s![head.sequence, head.head, .., ..]);
        for (got, exact) in rows.iter().map(|&i| o.row(i)).zip(exact.outer_iter()) {
            for (got, exact) in got.iter().zip(exact) {
                off += (f64::from(*got) - exact).powi(2);
                all += exact * exact;
            }
        }
    }
    (off / all).sqrt()
}

#[test]
fn errors_are_those_that_the_variants_state() {
    let shape = (1, 2, 1024, 64);
    let (q, k, v) = (normal(shape, 1), normal(shape, 2), normal(shape, 3));
    let peaky = &q * 8.0;
    let mut shifted = k.clone();
    for channel in [3, 17, 40, 63] {
        shifted
            .index_axis_mut(Axis(3), channel)
            .mapv_inplace(|x| x + 8.0);
    }
    for (what, q, k, bf16, int8) in [
        ("unit scale", &q, &k, 4e-3, 1.0e-2),
        ("logits to 40", &peaky, &k, 1.0e-2, 3.0e-2),
        ("channels off by 8", &q, &shifted, 6e-3, 1.1e-2),
    ] {
        let problem = Problem::new(q.view(), k.view(), v.view()).unwrap();
        for (variant, most) in [(&BLOCKED_BF16, bf16), (&BLOCKED_INT8, int8)] {
            let error = error(variant, &problem);
            assert!(error < most, "{}, {what}: {error:.2e}", variant.name);
            // Nor is it by chance far better: the numbers are rounded.
            assert!(error > most / 4.0, "{}, {what}: {error:.2e}", variant.name);
        }
    }
}

#[test]
fn a_hidden_key_changes_no_bit() {
    let shape = (1, 1, 640, 32);
    let (q, k, v) = (normal(shape, 4), normal(shape, 5), normal(shape, 6));
    let (mut other_k, mut other_v) = (k.clone(), v.clone());
    // Large enough to move any scale, mean or maximum that they were part of.
    other_k.slice_mut(s![.., .., 560.., ..]).fill(1e4);
    other_v.slice_mut(s![.., .., 560.., ..]).fill(1e4);
    for variant in [&BLOCKED_BF16, &BLOCKED_INT8] {
        let early = |k: &Array4<f32>, v: &Array4<f32>| {
            let problem = Problem::new(q.view(), k.view(), v.view())
                .and_then(|p| p.with_mask(Mask::causal(Alignment::TopLeft)))
                .unwrap();
            let output = answer(variant, &problem);
            let rows = output.o.slice(s![0, 0, ..560, ..]).to_owned();
            let lse = output.lse.unwrap().slice(s![0, 0, ..560]).to_owned();
            (rows.mapv(f32::to_bits), lse.mapv(f32::to_bits))
        };
        assert_eq!(
            early(&k, &v).1,
            early(&other_k, &other_v).1,
            "{}",
            variant.name
        );
        assert_eq!(early(&k, &v).0, early(&other_k, &v).0, "{}", variant.name);
    }
}
