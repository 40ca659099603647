//! What the low-rank variants promise beside the contract: exact at full rank, steady where it is
//! ill-conditioned, gradients over many pieces, memory that does not grow with N.

mod common;

use attention::mask::Mask;
use attention::{
    Attention, Gradients, Init, Output, Problem, Scratch, Shape, TensorSpec, Variant, Workers,
};
use attention_linear::{LIGHTSANS, LINFORMER, NYSTROM};
use common::{Tensors, build, measure, run};
use ndarray::{Array4, ArrayD};

fn shape([b, h, hkv, nq, nk, d, dv]: [usize; 7]) -> Shape {
    Shape {
        b,
        h,
        hkv,
        nq,
        nk,
        d,
        dv,
    }
}

#[test]
fn linformer_with_identities_is_softmax_attention() {
    let n = 150;
    let variant = build(&LINFORMER, &[("rank", "150")]);
    let tensors = Tensors::gaussian(shape([1, 2, 2, 70, n, 16, 8]), 1.0, 1);
    let eye = TensorSpec {
        name: "eye",
        learned: true,
        shape: vec![2, n, n],
        init: Init::Identity,
        summary: "",
    };
    let eye = eye.make(0);
    let problem = tensors
        .problem()
        .with_tensor("key_projection", eye.view())
        .with_tensor("value_projection", eye.view());
    let out = run(&*variant, &problem, 1);
    let error = measure(&*variant, &problem, &out).total.relative_frobenius;
    assert!(error < 1e-6, "{error:e}");
}

/// A query's own key scores highest, so that A is near the identity.
fn self_similar(n: usize) -> Tensors {
    let mut tensors = Tensors::gaussian(shape([1, 2, 2, n, n, 32, 8]), 1.0, 2);
    tensors.q.mapv_inplace(|x| 1.5 * x);
    tensors.k = tensors.q.clone();
    tensors
}

#[test]
fn nystrom_with_a_landmark_for_each_token_is_softmax_attention() {
    let tensors = self_similar(60);
    let problem = tensors.problem();
    let variant = build(&NYSTROM, &[("landmarks", "60"), ("iterations", "10")]);
    let out = run(&*variant, &problem, 1);
    let error = measure(&*variant, &problem, &out).total.relative_frobenius;
    assert!(error < 1e-5, "{error:e}");
    let few = build(&NYSTROM, &[("landmarks", "15"), ("iterations", "10")]);
    let out = run(&*few, &problem, 1);
    let error = measure(&*few, &problem, &out).total.relative_frobenius;
    assert!(
        error > 0.1,
        "fewer landmarks are an approximation: {error:e}"
    );
}

#[test]
fn nystrom_survives_a_singular_matrix_between_landmarks() {
    let mut tensors = Tensors::gaussian(shape([1, 1, 1, 200, 200, 8, 8]), 1.0, 3);
    for (what, factor) in [("all tokens alike", 0.0), ("almost alike", 1e-4)] {
        for x in tensors.q.iter_mut().chain(&mut tensors.k) {
            *x = 1.0 + factor * *x;
        }
        let problem = tensors.problem();
        for iterations in ["6", "16"] {
            let variant = build(&NYSTROM, &[("iterations", iterations)]);
            let (out, gradients) = both(&*variant, &problem);
            let finite = |x: &Array4<f32>| x.iter().all(|x| x.is_finite());
            assert!(finite(&out.o), "{what}, {iterations} iterations");
            assert!(finite(&gradients.dq) && finite(&gradients.dk) && finite(&gradients.dv));
        }
    }
}

/// What an output counts in the loss: rows and columns differ, for a softmax over rows has sums that do
/// not depend on its scores.
fn share(row: usize, column: usize) -> f32 {
    (1 + (7 * row + 3 * column) % 5) as f32
}

fn shares(problem: &Problem<'_>) -> Array4<f32> {
    let shape = problem.shape();
    let shape = (shape.b, shape.h, shape.nq, shape.dv);
    Array4::from_shape_fn(shape, |(_, _, i, c)| share(i, c))
}

/// Forward, and backward of the sum of all outputs by their shares.
fn both(variant: &dyn Attention, problem: &Problem<'_>) -> (Output, Gradients) {
    let (workers, mut scratch) = (Workers::new(2).unwrap(), Scratch::new());
    let mut out = Output::poisoned(problem.geometry(), false);
    variant
        .forward(problem, out.view_mut(), &workers, &mut scratch)
        .unwrap();
    let mut gradients = Gradients::zeros(problem);
    gradients.fill(f32::NAN);
    let d_o = shares(problem);
    variant
        .backward(
            problem,
            &out,
            d_o.view(),
            &mut gradients,
            &workers,
            &mut scratch,
        )
        .unwrap();
    (out, gradients)
}

/// That sum by the f64 form.
fn loss(variant: &dyn Attention, problem: &Problem<'_>) -> f64 {
    let heads = problem.heads();
    heads
        .map(|head| {
            let rows: Vec<usize> = (0..head.q.nrows()).collect();
            let form = variant.form_f64(problem, head.sequence, head.head, &rows);
            let output = form.unwrap().output;
            let terms = output.indexed_iter();
            terms
                .map(|((i, c), o)| f64::from(share(i, c)) * o)
                .sum::<f64>()
        })
        .sum()
}

/// Every 97th entry moves.
fn moved(x: &ArrayD<f32>, step: f32) -> ArrayD<f32> {
    let mut x = x.clone();
    for (i, x) in x.iter_mut().enumerate().filter(|(i, _)| i % 97 == 0) {
        *x += if i % 2 == 0 { step } else { -step };
    }
    x
}

fn along(gradient: impl Iterator<Item = f32>) -> f64 {
    let moving = gradient.enumerate().filter(|(i, _)| i % 97 == 0);
    moving
        .map(|(i, g)| f64::from(if i % 2 == 0 { g } else { -g }))
        .sum()
}

#[test]
fn gradients_of_long_and_padded_histories_are_those_of_the_form() {
    let settings: [(&Variant, &[(&'static str, &str)]); 5] = [
        (&LINFORMER, &[("rank", "20")]),
        (&LIGHTSANS, &[]),
        (&LIGHTSANS, &[("axis", "interest")]),
        (&LIGHTSANS, &[("axis", "query")]),
        (&NYSTROM, &[("landmarks", "7"), ("iterations", "4")]),
    ];
    let s = shape([2, 4, 2, 700, 1300, 12, 10]);
    let tensors = Tensors::gaussian(s, 0.5, 4);
    let mask = Mask::key_lengths([1170, 130]);
    for (variant, given) in settings {
        let name = variant.name;
        let variant = build(variant, given);
        let plain = tensors.problem().with_mask(mask.clone()).unwrap();
        let learned = attention::Tensors::of(&*variant, plain.geometry(), 5);
        let (_, gradients) = both(&*variant, &plain.supplied(&learned));
        let step = 1.0 / 1024.0;
        // All inputs together, then each learned tensor by itself.
        let inputs = [&tensors.q, &tensors.k, &tensors.v].map(|t| t.clone().into_dyn());
        let at = |step: f32| {
            let [q, k, v] = inputs
                .each_ref()
                .map(|t| moved(t, step).into_dimensionality().unwrap());
            let moved = Tensors { q, k, v };
            let problem = moved.problem().with_mask(mask.clone()).unwrap();
            loss(&*variant, &problem.supplied(&learned))
        };
        let expected = (at(step) - at(-step)) / f64::from(2.0 * step);
        let got = along(gradients.dq.iter().copied())
            + along(gradients.dk.iter().copied())
            + along(gradients.dv.iter().copied());
        let close = |got: f64, expected: f64| (got - expected).abs() < 2e-3 * expected.abs();
        assert!(close(got, expected), "{name} inputs: {got} {expected}");
        for (which, gradient) in &gradients.tensors {
            let at = |step: f32| {
                let mut learned = learned.clone();
                let tensor = learned.get_mut(which).unwrap();
                *tensor = moved(tensor, step);
                loss(&*variant, &plain.supplied(&learned))
            };
            let expected = (at(step) - at(-step)) / f64::from(2.0 * step);
            let got = along(gradient.iter().copied());
            assert!(close(got, expected), "{name} {which}: {got} {expected}");
        }
    }
}

#[test]
fn kernels_compute_their_forms_over_many_pieces() {
    let query: &[(&'static str, &str)] = &[("axis", "query")];
    for (variant, settings, nq, nk) in [
        (&LINFORMER, &[][..], 300, 9000),
        (&LIGHTSANS, &[][..], 300, 9000),
        (&LIGHTSANS, query, 1300, 2000),
        (&NYSTROM, &[][..], 1500, 2000),
    ] {
        let attention = build(variant, settings);
        let tensors = Tensors::gaussian(shape([1, 2, 1, nq, nk, 20, 24]), 1.0, 6);
        let plain = tensors.problem().with_mask(Mask::key_lengths([nk - 77]));
        let plain = plain.unwrap();
        let learned = attention::Tensors::of(&*attention, plain.geometry(), 5);
        let problem = plain.supplied(&learned);
        let out = run(&*attention, &problem, 2);
        let error = measure(&*attention, &problem, &out)
            .implementation
            .relative_frobenius;
        let budget = attention.error_budget(1.0);
        assert!(error < budget, "{}: {error:e}", variant.name);
    }
}

#[test]
fn scratch_does_not_grow_with_the_history() {
    for variant in [&LINFORMER, &LIGHTSANS, &NYSTROM] {
        let attention = build(variant, &[]);
        let bytes = |n: usize| {
            let one = Array4::<f32>::zeros((1, 1, 1, 64));
            let view = one.broadcast((1, 8, n, 64)).unwrap();
            let problem = Problem::new(view, view, view).unwrap();
            let geometry = problem.geometry();
            let forward = attention.scratch_bytes(geometry, 2);
            forward + attention.backward_scratch_bytes(geometry, 2)
        };
        assert_eq!(bytes(1 << 13), bytes(1 << 15), "{}", variant.name);
        // Below, no more than in proportion.
        assert!(bytes(1 << 13) <= 8 * bytes(1 << 10), "{}", variant.name);
    }
}

#[test]
fn what_is_prepared_answers_as_forward_does_and_takes_no_more_keys() {
    for variant in [&LINFORMER, &LIGHTSANS] {
        let attention = build(variant, &[]);
        let tensors = Tensors::gaussian(shape([2, 4, 2, 30, 900, 20, 24]), 1.0, 7);
        let plain = tensors.problem().with_mask(Mask::key_lengths([0, 800]));
        let plain = plain.unwrap();
        let learned = attention::Tensors::of(&*attention, plain.geometry(), 5);
        let problem = plain.supplied(&learned);
        let expected = run(&*attention, &problem, 1);
        let workers = Workers::new(2).unwrap();
        let mut prepared = attention.prepare(&problem, &workers).unwrap();
        let mut out = Output::poisoned(problem.geometry(), false);
        let mut scratch = Scratch::new();
        prepared
            .forward(tensors.q.view(), out.view_mut(), &workers, &mut scratch)
            .unwrap();
        assert_eq!(out.o, expected.o, "{}", variant.name);
        let one = tensors.k.slice(ndarray::s![.., .., ..1, ..]);
        let refused = prepared.append(one, one);
        assert!(matches!(refused, Err(attention::Error::Unsupported { .. })));
    }
}
