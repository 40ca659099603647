//! Feature maps token by token: a state that is grown key by key answers as the whole history does.

mod common;

use attention::mask::{Alignment, Mask};
use attention::{
    Attention, Error, OutputMut, Prepared, Problem, Scratch, Shape, Tensors as Own, Variant,
    Workers,
};
use attention_linear::{BASED, COSFORMER, ELU, FAVOR, HEDGEHOG, LINREC, REBASED, RELU, RFA};
use common::{Tensors, build, run};
use ndarray::{Array4, ArrayView4, s};

type Settings<'s> = &'s [(&'static str, &'static str)];

/// Every map that can be kept between calls.
const ALL: [(&Variant, Settings<'_>); 13] = [
    (&ELU, &[]),
    (&RELU, &[]),
    (&FAVOR, &[("features", "40")]),
    (&FAVOR, &[("features", "40"), ("kind", "hyperbolic")]),
    (&FAVOR, &[("features", "40"), ("kind", "plus-plus")]),
    (&RFA, &[("features", "40")]),
    (&COSFORMER, &[("horizon", "20000")]),
    (&LINREC, &[]),
    (&HEDGEHOG, &[]),
    (&REBASED, &[("dim", "6")]),
    (&BASED, &[("dim", "6")]),
    (&BASED, &[("dim", "6"), ("window", "128")]),
    (&BASED, &[("dim", "0"), ("window", "0")]),
];

fn answer(state: &dyn Prepared, q: ArrayView4<'_, f32>, dv: usize) -> Array4<f32> {
    let (b, h, nq, _) = q.dim();
    let mut o = Array4::from_elem((b, h, nq, dv), f32::NAN);
    let out = OutputMut {
        o: o.view_mut(),
        lse: None,
    };
    state
        .forward(q, out, &Workers::serial(), &mut Scratch::new())
        .unwrap();
    o
}

/// The state of the first `keys` keys under a causal mask.
fn begun(
    attention: &dyn Attention,
    tensors: &Tensors,
    own: &Own,
    keys: usize,
) -> Box<dyn Prepared> {
    let part = |x: &Array4<f32>| x.slice(s![.., .., ..keys, ..]).to_owned();
    let (q, k, v) = (part(&tensors.q), part(&tensors.k), part(&tensors.v));
    let problem = Problem::new(q.view(), k.view(), v.view()).unwrap();
    let causal = Mask::causal(Alignment::TopLeft);
    let problem = problem.with_mask(causal).unwrap();
    let problem = problem.supplied(own);
    attention.prepare(&problem, &Workers::serial()).unwrap()
}

#[test]
fn ten_thousand_appended_keys_answer_as_the_causal_batch() {
    let n = 10_000;
    let shape = Shape {
        hkv: 2,
        dv: 20,
        ..Shape::square(1, 4, n, 12)
    };
    let tensors = Tensors::gaussian(shape, 1.0, 8);
    for (variant, settings) in ALL {
        let attention = build(variant, settings);
        let causal = Mask::causal(Alignment::TopLeft);
        let problem = tensors.problem().with_mask(causal).unwrap();
        // Not identities, where a map is learned.
        let mut own = Own::of(&*attention, problem.geometry(), 5);
        for (name, sign) in [("query_map", 1.0), ("key_map", -1.0)] {
            let tensor = own.get_mut(name).into_iter();
            for (at, x) in tensor.flatten().enumerate() {
                *x += sign * ((at % 7) as f32 - 3.0) / 8.0;
            }
        }
        let problem = problem.supplied(&own);
        let expected = run(&*attention, &problem, 1).o;
        let prompt = 100;
        let mut state = begun(&*attention, &tensors, &own, prompt);
        let bytes = state.bytes();
        let (mut errors, mut squares) = (0.0, 0.0);
        for i in prompt..n {
            let of = |x: &Array4<f32>| x.slice(s![.., .., i..=i, ..]).to_owned();
            state
                .append(of(&tensors.k).view(), of(&tensors.v).view())
                .unwrap();
            if i % 50 == 49 || i < prompt + 5 {
                let o = answer(&*state, of(&tensors.q).view(), shape.dv);
                let (row, whole) = (o.iter(), of(&expected));
                for (o, e) in row.zip(&whole) {
                    errors += f64::from(o - e).powi(2);
                    squares += f64::from(*e).powi(2);
                }
            }
        }
        let error = (errors / squares).sqrt();
        assert!(error < 1e-5, "{} {settings:?}: {error:e}", variant.name);
        assert_eq!(state.bytes(), bytes, "the state does not grow");
    }
}

#[test]
fn keys_that_come_together_are_those_that_come_one_by_one() {
    let shape = Shape::square(2, 2, 300, 10);
    let tensors = Tensors::gaussian(shape, 1.0, 2);
    for (variant, settings) in ALL {
        let attention = build(variant, settings);
        let own = Own::of(&*attention, tensors.problem().geometry(), 5);
        let whole = begun(&*attention, &tensors, &own, 300);
        let mut grown = begun(&*attention, &tensors, &own, 0);
        for part in [0..1, 1..130, 130..300] {
            let of = |x: &Array4<f32>| x.slice(s![.., .., part.clone(), ..]).to_owned();
            grown
                .append(of(&tensors.k).view(), of(&tensors.v).view())
                .unwrap();
        }
        let q = tensors.q.slice(s![.., .., 299.., ..]);
        let (one, other) = (answer(&*whole, q, 10), answer(&*grown, q, 10));
        let size = one.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
        let apart = (&one - &other).iter().fold(0.0_f32, |a, x| a.max(x.abs()));
        assert!(apart < 2e-6 * size, "{}: {apart:e} of {size}", variant.name);
    }
}

/// Norms of columns lie in the state as well, so that the paper's normalisation can grow where all
/// queries see everything.
#[test]
fn norms_over_the_history_grow_with_it() {
    let tensors = Tensors::gaussian(Shape::square(1, 1, 200, 10), 1.0, 2);
    let paper = build(&LINREC, &[("normalisation", "paper")]);
    let expected = run(&*paper, &tensors.problem(), 1).o;
    let part =
        |x: &Array4<f32>, rows: std::ops::Range<usize>| x.slice(s![.., .., rows, ..]).to_owned();
    let (k, v) = (part(&tensors.k, 0..150), part(&tensors.v, 0..150));
    let problem = Problem::new(tensors.q.view(), k.view(), v.view()).unwrap();
    let mut state = paper.prepare(&problem, &Workers::serial()).unwrap();
    let (k, v) = (part(&tensors.k, 150..200), part(&tensors.v, 150..200));
    state.append(k.view(), v.view()).unwrap();
    let o = answer(&*state, tensors.q.view(), 10);
    let apart = (&o - &expected).iter().fold(0.0_f32, |a, x| a.max(x.abs()));
    assert!(apart < 1e-5, "{apart:e}");
}

#[test]
fn a_state_without_keys_answers_zero_and_padding_is_not_absorbed() {
    let mut tensors = Tensors::gaussian(Shape::square(2, 1, 40, 8), 1.0, 2);
    tensors.k.slice_mut(s![1, .., 30.., ..]).fill(f32::NAN);
    tensors.v.slice_mut(s![1, .., 30.., ..]).fill(f32::NAN);
    for (variant, settings) in ALL {
        let attention = build(variant, settings);
        let lengths = Mask::key_lengths(vec![0, 30]);
        let problem = tensors.problem().with_mask(lengths).unwrap();
        let own = Own::of(&*attention, problem.geometry(), 5);
        let problem = problem.supplied(&own);
        let state = attention.prepare(&problem, &Workers::serial()).unwrap();
        let q = tensors.q.slice(s![.., .., 39.., ..]);
        let o = answer(&*state, q, 8);
        let batch = run(&*attention, &problem, 1).o;
        assert!(o.slice(s![0, .., .., ..]).iter().all(|x| *x == 0.0));
        for c in 0..8 {
            let apart = o[[1, 0, 0, c]] - batch[[1, 0, 39, c]];
            assert!(apart.abs() < 1e-5, "{} {apart}", variant.name);
        }
    }
}

#[test]
fn what_a_state_cannot_answer_is_refused() {
    let tensors = Tensors::gaussian(Shape::square(1, 1, 20, 8), 1.0, 2);
    let moving = build(&COSFORMER, &[]);
    let refused = moving.prepare(&tensors.problem(), &Workers::serial());
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
    let short = build(&COSFORMER, &[("horizon", "19")]);
    let refused = short.prepare(&tensors.problem(), &Workers::serial());
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
    let enough = build(&COSFORMER, &[("horizon", "25")]);
    let mut state = enough
        .prepare(&tensors.problem(), &Workers::serial())
        .unwrap();
    let six = tensors.k.slice(s![.., .., ..6, ..]);
    let refused = state.append(six, six);
    assert!(
        matches!(refused, Err(Error::Unsupported { .. })),
        "{refused:?}"
    );

    let elu = build(&ELU, &[]);
    let own = Own::of(&*elu, tensors.problem().geometry(), 5);
    let mut state = begun(&*elu, &tensors, &own, 20);
    let mut o = Array4::zeros((1, 1, 2, 8));
    let out = OutputMut {
        o: o.view_mut(),
        lse: None,
    };
    let two = tensors.q.slice(s![.., .., 18.., ..]);
    let result = state.forward(two, out, &Workers::serial(), &mut Scratch::new());
    assert!(
        matches!(result, Err(Error::Unsupported { .. })),
        "{result:?}"
    );
    let short = Array4::zeros((1, 1, 1, 7));
    let result = state.append(short.view(), short.view());
    assert!(matches!(result, Err(Error::Shape { .. })), "{result:?}");
}
