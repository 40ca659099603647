//! Recurrences against themselves step by step, with side inputs that vary.

mod recurrent_common;

use attention::mask::{Alignment, Mask};
use attention::{Gradients, Output, Problem, Scratch, Workers};
use attention_linear::{DELTANET, GATED_DELTANET, RETNET};
use ndarray::{Array4, ArrayD, s};
use recurrent_common::{ALL, Case, error};

/// Relative error within which f32 must be of the recurrence in f64.
const CLOSE: f64 = 2e-6;

#[test]
fn each_equals_its_recurrence_on_random_gates() {
    for variant in ALL {
        for (n, mask) in [
            (300, Mask::causal(Alignment::TopLeft)),
            (129, Mask::full()),
            (64, Mask::causal(Alignment::Offset(-5))),
        ] {
            let case = Case::random(variant, [2, 4, 2, n, 24, 40], mask);
            let found = error(&case);
            assert!(found < CLOSE, "{}, {n} keys: {found:.1e}", variant.name);
        }
    }
}

#[test]
fn strong_decays_stay_finite_over_ten_thousand_steps() {
    for variant in ALL {
        let mut case = Case::random(
            variant,
            [1, 1, 1, 10_000, 8, 8],
            Mask::causal(Alignment::TopLeft),
        );
        for (name, tensor) in &mut case.tensors {
            let strong = tensor.len();
            for (n, x) in tensor.iter_mut().enumerate() {
                // From no decay at all over a mild one to none left, in one history.
                match (*name, n * 4 / strong) {
                    ("log_decay", 0) => *x = 0.0,
                    ("log_decay", 1) => *x *= 100.0,
                    ("log_decay", 2) if n % 7 == 0 => *x = f32::NEG_INFINITY,
                    ("log_decay", 3) => *x = -1e30,
                    ("step", 1) => *x *= 1e4,
                    ("step", 2) => *x = 1e-30,
                    _ => {}
                }
            }
        }
        let (output, gradients) = case.run(1);
        assert!(output.o.iter().all(|x| x.is_finite()), "{}", variant.name);
        let finite = |x: &ArrayD<f32>| x.iter().all(|x| x.is_finite());
        assert!(gradients.tensors.values().all(finite), "{}", variant.name);
        let rest = gradients
            .dq
            .iter()
            .chain(&gradients.dk)
            .chain(&gradients.dv);
        assert!(rest.into_iter().all(|x| x.is_finite()), "{}", variant.name);
        let found = error(&case);
        assert!(found < 10.0 * CLOSE, "{}: {found:.1e}", variant.name);
    }
}

#[test]
fn gates_out_of_range_are_errors_where_a_query_sees_them() {
    for variant in ALL {
        let mask = Mask::key_lengths([30]);
        let names: Vec<_> = Case::random(variant, [1, 1, 1, 40, 8, 8], mask.clone())
            .tensors
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| ["log_decay", "beta", "step"].contains(name))
            .collect();
        for name in names {
            for (bad, key, refused) in [
                (f32::NAN, 3, true),
                (-3.0, 3, name != "log_decay"),
                (0.1, 3, name == "log_decay"),
                (f32::NAN, 35, false),
            ] {
                let mut case = Case::random(variant, [1, 1, 1, 40, 8, 8], mask.clone());
                let tensor = case.tensor(name);
                let width = tensor.len() / 40;
                tensor.as_slice_mut().unwrap()[key * width] = bad;
                let result = case.forward(1).map(|o| o.o.iter().all(|x| x.is_finite()));
                let error = matches!(result, Err(attention::Error::Parameter { parameter, .. }) if parameter == name);
                assert_eq!(
                    error, refused,
                    "{} {name} = {bad} at key {key}",
                    variant.name
                );
                assert!(refused || result == Ok(true), "{} {name}", variant.name);
            }
        }
    }
}

#[test]
fn a_state_grown_key_by_key_answers_as_the_whole_history() {
    for variant in ALL {
        let n = 10_000;
        let case = Case::random(
            variant,
            [1, 2, 1, n, 16, 16],
            Mask::causal(Alignment::TopLeft),
        );
        let expected = case.forward(1).unwrap();
        let prompt = 100;
        let mut state = case.part(0..prompt, |problem| {
            case.attention.prepare(problem, &Workers::serial()).unwrap()
        });
        let bytes = state.bytes();
        let (mut worst, mut size) = (0.0f32, 0.0f32);
        for i in prompt..n {
            let cut = |t: &Array4<f32>| t.slice(s![.., .., i..=i, ..]).to_owned();
            let tensors = case.of_keys(i..i + 1);
            let given: Vec<_> = tensors.iter().map(|(name, t)| (*name, t.view())).collect();
            state
                .append_with(cut(&case.k).view(), cut(&case.v).view(), &given)
                .unwrap();
            if i % 50 == 49 || i < prompt + 5 {
                let q = cut(&case.q);
                let mut out = Array4::from_elem((1, 2, 1, 16), f32::NAN);
                let view = attention::OutputMut {
                    o: out.view_mut(),
                    lse: None,
                };
                state
                    .forward(q.view(), view, &Workers::serial(), &mut Scratch::new())
                    .unwrap();
                for h in 0..2 {
                    for c in 0..16 {
                        let e = expected.o[[0, h, i, c]];
                        worst = worst.max((out[[0, h, 0, c]] - e).abs());
                        size = size.max(e.abs());
                    }
                }
            }
        }
        assert!(worst < 1e-5 * size, "{}: {worst:e} of {size}", variant.name);
        assert_eq!(state.bytes(), bytes, "the state does not grow");
    }
}

#[test]
fn a_state_refuses_queries_that_see_less_and_appends_that_lack_gates() {
    let case = Case::random(
        &GATED_DELTANET,
        [1, 1, 1, 20, 8, 8],
        Mask::causal(Alignment::TopLeft),
    );
    let mut state = case.part(0..20, |p| {
        case.attention.prepare(p, &Workers::serial()).unwrap()
    });
    let mut out = Array4::zeros((1, 1, 2, 8));
    let view = attention::OutputMut {
        o: out.view_mut(),
        lse: None,
    };
    let two = case.q.slice(s![.., .., 18.., ..]);
    let result = state.forward(two, view, &Workers::serial(), &mut Scratch::new());
    assert!(
        matches!(result, Err(attention::Error::Unsupported { .. })),
        "{result:?}"
    );
    let one = case.k.slice(s![.., .., ..1, ..]);
    let result = state.append(one, one);
    assert!(
        matches!(
            result,
            Err(attention::Error::Tensor {
                name: "log_decay",
                ..
            })
        ),
        "{result:?}"
    );
}

#[test]
fn gradients_of_all_inputs_are_the_same_for_padded_jagged_and_any_threads() {
    for variant in ALL {
        let case = Case::random(
            variant,
            [2, 4, 2, 150, 24, 40],
            Mask::causal(Alignment::TopLeft),
        );
        let (output, gradients) = case.run(1);
        for threads in [2, 3] {
            let again = case.run(threads);
            assert_eq!(
                (&output, &gradients),
                (&again.0, &again.1),
                "{}",
                variant.name
            );
        }
    }
}

#[test]
fn zero_beta_leaves_the_state_as_it_was() {
    let mut case = Case::random(&DELTANET, [1, 1, 1, 90, 8, 8], Mask::full());
    case.tensor("beta").slice_mut(s![.., .., 40..]).fill(0.0);
    let long = case.forward(1).unwrap().o;
    let problem = Problem::new(case.q.view(), case.k.view(), case.v.view()).unwrap();
    let problem = problem
        .with_mask(Mask::key_lengths([40]))
        .unwrap()
        .with_tensor("beta", case.tensors[0].1.view());
    let mut short = Output::poisoned(problem.geometry(), false);
    case.attention
        .forward(
            &problem,
            short.view_mut(),
            &Workers::serial(),
            &mut Scratch::new(),
        )
        .unwrap();
    let difference = (&long - &short.o).mapv(f32::abs).sum();
    assert!(
        difference < 1e-5 * long.mapv(f32::abs).sum(),
        "{difference}"
    );
}

#[test]
fn a_key_brings_back_its_value() {
    // β = 1 and orthonormal keys: the delta rule is a dictionary.
    let eye = Array4::from_shape_fn((1, 1, 8, 8), |(_, _, j, d)| f32::from(u8::from(j == d)));
    let v = Array4::from_shape_fn((1, 1, 8, 8), |(_, _, j, c)| (j * 8 + c) as f32);
    let beta = ArrayD::ones(vec![1, 1, 8]);
    let case = Case::random(&DELTANET, [1, 1, 1, 8, 8, 8], Mask::full());
    let problem = Problem::new(eye.view(), eye.view(), v.view())
        .unwrap()
        .with_scale(1.0)
        .with_tensor("beta", beta.view());
    let mut out = Output::poisoned(problem.geometry(), false);
    case.attention
        .forward(
            &problem,
            out.view_mut(),
            &Workers::serial(),
            &mut Scratch::new(),
        )
        .unwrap();
    assert!((&out.o - &v).iter().all(|x| x.abs() < 1e-3), "{:?}", out.o);
}

#[test]
fn what_no_query_sees_has_no_gradient() {
    let case = Case::random(&RETNET, [1, 1, 1, 100, 8, 8], Mask::key_lengths([70]));
    let (_, Gradients { dk, dv, .. }) = case.run(1);
    for gradient in [dk, dv] {
        assert!(
            gradient
                .slice(s![.., .., 70.., ..])
                .iter()
                .all(|x| *x == 0.0)
        );
        assert!(
            gradient
                .slice(s![.., .., ..70, ..])
                .iter()
                .all(|x| *x != 0.0)
        );
    }
}

#[test]
fn gradients_of_side_inputs_are_differences_of_the_recurrence() {
    const STEP: f32 = 1.0 / 256.0;
    for variant in ALL {
        for (n, mask) in [
            (70, Mask::causal(Alignment::TopLeft)),
            (80, Mask::key_lengths([75])),
        ] {
            let mut case = Case::random(variant, [1, 2, 1, n, 3, 2], mask);
            for (name, tensor) in &mut case.tensors {
                // Away from the ends of their ranges, so that a step stays inside.
                match *name {
                    "log_decay" => tensor.mapv_inplace(|x| x.clamp(-1.0, -0.01)),
                    "beta" => tensor.mapv_inplace(|x| x.clamp(0.01, 1.9)),
                    "step" => tensor.mapv_inplace(|x| x.clamp(0.01, 0.5)),
                    _ => {}
                }
            }
            let (output, gradients) = case.run(1);
            let d_o = recurrent_common::d_o(&output);
            for which in 0..case.tensors.len() {
                let name = case.tensors[which].0;
                let len = case.tensors[which].1.len();
                for at in (0..len).step_by(1 + len / 40).chain(len - len / 10..len) {
                    let mut loss = |step: f32| {
                        case.tensors[which].1.as_slice_mut().unwrap()[at] += step;
                        let loss = recurrent_common::loss(&case, &d_o);
                        case.tensors[which].1.as_slice_mut().unwrap()[at] -= step;
                        loss
                    };
                    let expected = (loss(STEP) - loss(-STEP)) / f64::from(2.0 * STEP);
                    let got = f64::from(gradients.tensors[name].as_slice().unwrap()[at]);
                    let bound = 2e-3 * expected.abs().max(1.0);
                    assert!(
                        (got - expected).abs() < bound,
                        "{} d{name}[{at}] of {n} keys: {got}, differences {expected}",
                        variant.name
                    );
                }
            }
        }
    }
}
