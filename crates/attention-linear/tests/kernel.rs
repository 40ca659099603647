//! Every variant's kernel against its own slow form, and what must hold of all of them.

mod common;

use attention::mask::{Alignment, Mask};
use attention::{Attention, Error, Problem, Shape};
use attention_linear::{ELU, FAVOR, LINREC, RELU};
use common::{Tensors, build, gate, run};
use ndarray::{Array4, Axis};
use proptest::prelude::*;

fn variants() -> Vec<(&'static str, Box<dyn Attention>)> {
    vec![
        ("elu", build(&ELU, &[])),
        ("relu", build(&RELU, &[])),
        ("favor", build(&FAVOR, &[("features", "40")])),
        ("linrec", build(&LINREC, &[])),
        (
            "linrec paper",
            build(&LINREC, &[("normalisation", "paper")]),
        ),
    ]
}

fn shape(b: usize, h: usize, hkv: usize, nq: usize, nk: usize, d: usize, dv: usize) -> Shape {
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

fn masks(b: usize, nk: usize) -> Vec<Mask> {
    let lengths = || Mask::key_lengths((0..b).map(|s| nk * s / b.max(1)).collect::<Vec<_>>());
    vec![
        Mask::full(),
        lengths(),
        Mask::causal(Alignment::TopLeft),
        Mask::causal(Alignment::BottomRight),
        Mask::causal(Alignment::Offset(-9)),
        Mask::causal(Alignment::Offset(70)).and(&lengths()),
    ]
}

#[test]
fn kernels_compute_their_forms_at_every_size_and_mask() {
    let shapes = [
        shape(1, 1, 1, 1, 1, 1, 1),
        shape(2, 2, 1, 3, 17, 3, 1),
        shape(3, 4, 2, 50, 50, 17, 3),
        shape(1, 2, 2, 200, 130, 8, 20),
        shape(2, 2, 2, 64, 64, 16, 16),
        shape(1, 1, 1, 1, 700, 12, 8),
        // Long and few heads: histories are cut.
        shape(1, 2, 1, 1100, 1300, 6, 5),
        shape(2, 1, 1, 600, 40, 5, 9),
    ];
    for s in shapes {
        for (seed, mask) in masks(s.b, s.nk).into_iter().enumerate() {
            let tensors = Tensors::gaussian(s, 1.0, seed as u64);
            let problem = tensors.problem().with_mask(mask).unwrap();
            for (name, variant) in variants() {
                if variant
                    .capabilities()
                    .admits_geometry(problem.geometry())
                    .is_err()
                {
                    continue;
                }
                let error = gate(&*variant, &problem);
                let budget = variant.error_budget(1.0);
                assert!(error <= budget, "{name}, {s}, mask {seed}: {error:e}");
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for s in [
        shape(1, 2, 1, 1500, 1400, 8, 8),
        shape(3, 4, 4, 70, 90, 5, 6),
    ] {
        for mask in [Mask::full(), Mask::causal(Alignment::BottomRight)] {
            let tensors = Tensors::gaussian(s, 1.0, 7);
            let problem = tensors.problem().with_mask(mask).unwrap();
            for (name, variant) in variants() {
                if variant
                    .capabilities()
                    .admits_geometry(problem.geometry())
                    .is_err()
                {
                    continue;
                }
                let one = run(&*variant, &problem, 1);
                for threads in [2, 4] {
                    assert_eq!(run(&*variant, &problem, threads), one, "{name}");
                }
            }
        }
    }
}

#[test]
fn logits_of_ten_thousand_stay_finite_and_within_budget() {
    let s = shape(1, 2, 2, 90, 90, 64, 16);
    for mask in [Mask::full(), Mask::causal(Alignment::TopLeft)] {
        let mut tensors = Tensors::gaussian(s, 60.0, 11);
        tensors.k.mapv_inplace(|x| 60.0 * x);
        let problem = tensors.problem().with_mask(mask).unwrap();
        for (name, variant) in variants() {
            if variant
                .capabilities()
                .admits_geometry(problem.geometry())
                .is_err()
            {
                continue;
            }
            let out = run(&*variant, &problem, 1);
            assert!(out.o.iter().all(|x| x.is_finite()), "{name}");
            let error = gate(&*variant, &problem);
            assert!(error <= variant.error_budget(1e4), "{name}: {error:e}");
        }
    }
}

#[test]
fn a_nan_or_huge_key_reaches_the_rows_that_see_it_and_no_others() {
    let s = shape(1, 2, 1, 150, 150, 8, 6);
    let at = 77;
    for value in [f32::NAN, f32::INFINITY, 1e3] {
        let clean = Tensors::gaussian(s, 1.0, 5);
        let mut dirty = Tensors::gaussian(s, 1.0, 5);
        dirty.k.index_axis_mut(Axis(2), at).fill(value);
        let causal = || Mask::causal(Alignment::TopLeft);
        let problem = dirty.problem().with_mask(causal()).unwrap();
        for (name, variant) in variants() {
            if variant
                .capabilities()
                .admits_geometry(problem.geometry())
                .is_err()
            {
                continue;
            }
            let out = run(&*variant, &problem, 1).o;
            let clean_problem = clean.problem().with_mask(causal()).unwrap();
            let expected = run(&*variant, &clean_problem, 1).o;
            let (before, after) = out.view().split_at(Axis(2), at);
            let (clean_before, clean_after) = expected.view().split_at(Axis(2), at);
            // The chunk may be answered token by token, and so be rounded otherwise.
            for (x, clean) in before.iter().zip(clean_before) {
                let same = (x - clean).abs() <= 1e-5 * (1.0 + clean.abs());
                assert!(same, "{name}: the future reached the past, {x} for {clean}");
            }
            if value.is_finite() {
                assert_ne!(after, clean_after, "{name}");
            } else {
                assert!(
                    after.iter().all(|x| !x.is_finite()),
                    "{name}: {value} was lost"
                );
            }
        }
    }
}

#[test]
fn what_lies_in_padding_reaches_nothing() {
    let s = shape(2, 2, 2, 20, 90, 8, 6);
    let clean = Tensors::gaussian(s, 1.0, 6);
    let mut dirty = Tensors::gaussian(s, 1.0, 6);
    for tensor in [&mut dirty.k, &mut dirty.v] {
        tensor.slice_axis_mut(Axis(2), (70..).into()).fill(f32::NAN);
    }
    let mask = || Mask::key_lengths([70, 0]);
    for (name, variant) in variants() {
        let out = run(&*variant, &dirty.problem().with_mask(mask()).unwrap(), 1);
        let expected = run(&*variant, &clean.problem().with_mask(mask()).unwrap(), 1);
        assert_eq!(out, expected, "{name}");
        assert!(
            out.o.index_axis(Axis(0), 1).iter().all(|&x| x == 0.0),
            "{name}"
        );
    }
}

#[test]
fn histories_end_to_end_are_answered_as_padded_ones() {
    let s = shape(3, 2, 1, 40, 40, 8, 6);
    let lengths = [40, 0, 13];
    let padded = Tensors::gaussian(s, 1.0, 8);
    let flatten = |x: &Array4<f32>| {
        let rows: Vec<_> = lengths
            .iter()
            .enumerate()
            .map(|(b, &n)| {
                let history = x.index_axis(Axis(0), b);
                history.slice_axis_move(Axis(1), (0..n).into())
            })
            .collect();
        ndarray::concatenate(Axis(1), &rows)
            .unwrap()
            .insert_axis(Axis(0))
    };
    let (q, k, v) = (flatten(&padded.q), flatten(&padded.k), flatten(&padded.v));
    let offsets = [0, 40, 40, 53];
    for mask in [Mask::full(), Mask::causal(Alignment::TopLeft)] {
        let jagged = Problem::jagged(q.view(), k.view(), v.view(), offsets, offsets)
            .unwrap()
            .with_mask(mask.clone())
            .unwrap();
        let with_lengths = mask.and(&Mask::key_lengths(lengths));
        let problem = padded.problem().with_mask(with_lengths).unwrap();
        for (name, variant) in variants() {
            if variant
                .capabilities()
                .admits_geometry(jagged.geometry())
                .is_err()
            {
                continue;
            }
            let out = run(&*variant, &jagged, 2).o;
            let expected = flatten(&run(&*variant, &problem, 2).o);
            for (o, e) in out.iter().zip(&expected) {
                assert!(
                    (o - e).abs() <= 1e-5 * (1.0 + e.abs()),
                    "{name}: {o} and {e}"
                );
            }
        }
    }
}

#[test]
fn nothing_to_see_and_nobody_to_see_it_are_answered() {
    for s in [
        shape(0, 2, 2, 5, 5, 4, 4),
        shape(2, 0, 0, 5, 5, 4, 4),
        shape(2, 2, 2, 0, 5, 4, 4),
        shape(2, 2, 2, 5, 0, 4, 4),
        shape(2, 2, 2, 5, 5, 0, 4),
        shape(2, 2, 2, 5, 5, 4, 0),
    ] {
        let tensors = Tensors::gaussian(s, 1.0, 1);
        for (name, variant) in variants() {
            let out = run(&*variant, &tensors.problem(), 2);
            assert!(out.o.iter().all(|x| x.is_finite()), "{name}, {s}");
            if s.nk == 0 {
                assert!(out.o.iter().all(|&x| x == 0.0), "{name}");
            }
        }
    }
}

#[test]
fn what_is_missing_is_refused_with_its_reason() {
    let tensors = Tensors::gaussian(shape(1, 1, 1, 4, 4, 4, 4), 1.0, 1);
    let causal = tensors
        .problem()
        .with_mask(Mask::causal(Alignment::TopLeft))
        .unwrap();
    let window = tensors.problem().with_mask(Mask::window(2)).unwrap();
    let paper = build(&LINREC, &[("normalisation", "paper")]);
    for (variant, problem) in [(paper, causal), (build(&ELU, &[]), window)] {
        let mut out = attention::Output::poisoned(problem.geometry(), false);
        let answer = variant.forward(
            &problem,
            out.view_mut(),
            &attention::Workers::serial(),
            &mut attention::Scratch::new(),
        );
        assert!(
            matches!(answer, Err(Error::Unsupported { .. })),
            "{answer:?}"
        );
        assert!(variant.form_f64(&problem, 0, 0, &[0]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Sizes and alignments that nobody thought of.
    #[test]
    fn kernels_compute_their_forms(
        (nq, nk, d, dv) in (1usize..150, 1usize..150, 1usize..20, 1usize..20),
        (group, offset, seed) in (1usize..3, -100isize..150, any::<u64>()),
        spread in 0.1f32..4.0,
    ) {
        let tensors = Tensors::gaussian(shape(1, 2 * group, 2, nq, nk, d, dv), spread, seed);
        let mask = Mask::causal(Alignment::Offset(offset));
        let problem = tensors.problem().with_mask(mask).unwrap();
        for (name, variant) in variants() {
            if variant.capabilities().admits_geometry(problem.geometry()).is_err() {
                continue;
            }
            let error = gate(&*variant, &problem);
            prop_assert!(error <= variant.error_budget(1.0), "{}: {:e}", name, error);
        }
    }
}
