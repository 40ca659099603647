//! Caches: what they answer is what forward answers, however they came about.

mod support;

use attention::mask::{Alignment, BlockMask, Mask, Part};
use attention::variant::{Parameters, Value};
use attention::{Attention, Bias, Error, Output, Prepared, Problem, Scratch, Workers};
use attention_blocked::{Isa, Precision, SLIDING_WINDOW, prepare};
use ndarray::{Array2, Array4, ArrayView4, Axis, s};
use support::{answer, blocked, isas, normal, worst};

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

fn ask(cache: &dyn Prepared, q: ArrayView4<'_, f32>, dv: usize, threads: usize) -> Output {
    let (b, h, nq, _) = q.dim();
    let mut output = Output {
        o: Array4::from_elem((b, h, nq, dv), f32::NAN),
        lse: Some(ndarray::Array3::from_elem((b, h, nq), f32::NAN)),
    };
    let workers = Workers::new(threads).unwrap();
    cache
        .forward(q, output.view_mut(), &workers, &mut Scratch::new())
        .unwrap();
    output
}

#[test]
fn the_queries_of_the_problem_get_the_bits_of_forward() {
    for isa in isas() {
        for nq in [1, 7, 16, 17, 70] {
            let (q, k) = (normal((2, 4, nq, 20), 1), normal((2, 2, 600, 20), 2));
            let (v, table) = (normal((2, 2, 600, 9), 3), normal((1, 1, 4, 31), 4));
            let table = table.slice(s![0, 0, .., ..]);
            let dense = normal((1, 4, nq, 600), 5);
            let problem = || Problem::new(q.view(), k.view(), v.view()).unwrap();
            let bottom_window = Part::Window {
                width: 40,
                alignment: Alignment::BottomRight,
            };
            let problems = [
                problem().with_scale(0.3),
                problem()
                    .with_mask(Mask::causal(Alignment::TopLeft))
                    .unwrap(),
                problem()
                    .with_mask(Mask::causal(Alignment::BottomRight))
                    .unwrap(),
                problem().with_mask(bottom_window.into()).unwrap(),
                problem().with_mask(Mask::key_lengths([5, 590])).unwrap(),
                problem()
                    .with_mask(Mask::dense(Array2::from_shape_fn((nq, 600), |(i, j)| {
                        (i + j) % 3 > 0
                    })))
                    .unwrap(),
                problem()
                    .with_mask(Mask::blocks(
                        BlockMask::random(nq, 600, 16, 0.3, 1).unwrap(),
                    ))
                    .unwrap(),
                problem().with_bias(Bias::Relative(table)).unwrap(),
                problem()
                    .with_bias(Bias::Dense(dense.slice(s![0, .., .., ..])))
                    .unwrap(),
            ];
            for (n, problem) in problems.iter().enumerate() {
                let variant = blocked(isa);
                let cache = variant.prepare(problem, &Workers::new(2).unwrap()).unwrap();
                let (got, expected) = (
                    ask(cache.as_ref(), q.view(), 9, 2),
                    answer(variant.as_ref(), problem),
                );
                assert_eq!(
                    got.o,
                    expected.o,
                    "problem {n}, {nq} queries, {}",
                    isa.name()
                );
                assert_eq!(got.lse, expected.lse, "problem {n}, {nq} queries");
            }
        }
    }
}

/// A self-attention problem over the first keys, to which the rest is appended in pieces.
fn grown(
    precision: Precision,
    mask: &Mask,
    bias: Option<&Array2<f32>>,
    kv: &Array4<f32>,
    pieces: &[usize],
) -> Box<dyn Prepared> {
    let first = kv.slice(s![.., .., ..pieces[0], ..]);
    let q = first.select(Axis(1), &[0, 0, 1, 1]);
    let mut problem = Problem::new(q.view(), first, first)
        .unwrap()
        .with_mask(mask.clone())
        .unwrap();
    if let Some(table) = bias {
        problem = problem.with_bias(Bias::Relative(table.view())).unwrap();
    }
    let mut cache = prepare(precision, &problem, &Workers::serial());
    let mut at = pieces[0];
    for n in &pieces[1..] {
        let next = kv.slice(s![.., .., at..at + n, ..]);
        cache.append(next, next).unwrap();
        at += n;
    }
    cache
}

#[test]
fn pieces_give_the_bits_of_the_whole() {
    let kv = normal((2, 2, 700, 20), 1);
    for precision in PRECISIONS {
        for nq in [1, 5, 40] {
            let q = normal((2, 4, nq, 20), 2);
            for mask in [
                Mask::full(),
                Mask::causal(Alignment::TopLeft),
                Mask::window(33),
            ] {
                let whole = grown(precision, &mask, None, &kv, &[700]);
                let pieces = grown(precision, &mask, None, &kv, &[0, 300, 1, 0, 1, 398]);
                let expected = ask(whole.as_ref(), q.view(), 20, 1);
                for threads in [1, 2, 4] {
                    let got = ask(pieces.as_ref(), q.view(), 20, threads);
                    assert_eq!(
                        got, expected,
                        "{precision:?}, {nq} queries, {mask:?}, {threads} threads"
                    );
                }
            }
        }
    }
}

/// After 200 appended keys, the last queries see what the last rows of the square problem see.
#[test]
fn appended_keys_bring_their_queries_along() {
    let (kv, table) = (normal((1, 2, 700, 20), 1), normal((1, 1, 4, 31), 4));
    let table = table.slice(s![0, 0, .., ..]).to_owned();
    let q = normal((1, 4, 700, 20), 2);
    for mask in [
        Mask::causal(Alignment::TopLeft),
        Mask::causal(Alignment::BottomRight),
        Mask::window(50),
        Part::SymmetricWindow {
            radius: 9,
            alignment: Alignment::TopLeft,
        }
        .into(),
    ] {
        let square = Problem::new(q.view(), kv.view(), kv.view())
            .and_then(|p| p.with_mask(mask.clone()))
            .and_then(|p| p.with_bias(Bias::Relative(table.view())))
            .unwrap();
        let expected = answer(blocked(Isa::detect()).as_ref(), &square);
        let cache = grown(Precision::F32, &mask, Some(&table), &kv, &[500, 150, 50]);
        for nq in [1, 6, 90] {
            let last = s![.., .., 700 - nq.., ..];
            let got = ask(cache.as_ref(), q.slice(last), 20, 1);
            let error = (&got.o - &expected.o.slice(last)).mapv(f32::abs);
            assert!(error.iter().all(|&x| x < 2e-6), "{nq} queries, {mask:?}");
        }
    }
}

#[test]
fn keys_are_appended_behind_the_last_real_one() {
    let (kv, q) = (normal((2, 2, 40, 8), 1), normal((2, 2, 1, 8), 2));
    let next = normal((2, 2, 1, 8), 3);
    let causal = Mask::causal(Alignment::TopLeft).and(&Mask::window(12));
    let square = normal((2, 2, 40, 8), 4);
    let problem = Problem::new(square.view(), kv.view(), kv.view())
        .and_then(|p| p.with_mask(causal.and(&Mask::key_lengths([40, 17]))))
        .unwrap();
    let mut cache = prepare(Precision::F32, &problem, &Workers::serial());
    cache.append(next.view(), next.view()).unwrap();
    let got = ask(cache.as_ref(), q.view(), 8, 1);
    for (b, n) in [(0, 40), (1, 17)] {
        let history = ndarray::concatenate![
            Axis(2),
            kv.slice(s![b..=b, .., n - 11..n, ..]),
            next.slice(s![b..=b, .., .., ..])
        ];
        let problem = Problem::new(
            q.slice(s![b..=b, .., .., ..]),
            history.view(),
            history.view(),
        )
        .unwrap();
        let part = Output {
            o: got.o.slice(s![b..=b, .., .., ..]).to_owned(),
            lse: got
                .lse
                .as_ref()
                .map(|l| l.slice(s![b..=b, .., ..]).to_owned()),
        };
        assert!(worst(&problem, &part) < 2e-6, "history {b}");
    }
}

#[test]
fn histories_end_to_end_grow_on_their_own() {
    let (k, q) = (normal((1, 2, 60, 8), 1), normal((1, 2, 3, 8), 2));
    let problem =
        Problem::jagged(q.view(), k.view(), k.view(), [0, 1, 1, 3], [0, 50, 50, 60]).unwrap();
    let mut cache = prepare(Precision::F32, &problem, &Workers::serial());
    let next = normal((3, 2, 2, 8), 3);
    cache.append(next.view(), next.view()).unwrap();
    let asked = normal((3, 2, 4, 8), 4);
    let got = ask(cache.as_ref(), asked.view(), 8, 2);
    for (b, keys) in [0..50, 50..50, 50..60].into_iter().enumerate() {
        let history = ndarray::concatenate![
            Axis(2),
            k.slice(s![.., .., keys, ..]),
            next.slice(s![b..=b, .., .., ..])
        ];
        let problem = Problem::new(
            asked.slice(s![b..=b, .., .., ..]),
            history.view(),
            history.view(),
        )
        .unwrap();
        let part = Output {
            o: got.o.slice(s![b..=b, .., .., ..]).to_owned(),
            lse: got
                .lse
                .as_ref()
                .map(|l| l.slice(s![b..=b, .., ..]).to_owned()),
        };
        assert!(worst(&problem, &part) < 2e-6, "history {b}");
    }
}

#[test]
fn a_window_moves_with_the_history() {
    let mut parameters = Parameters::defaults(SLIDING_WINDOW.parameters);
    parameters.set("window", Value::Integer(30));
    let variant: Box<dyn Attention> = (SLIDING_WINDOW.build)(&parameters).unwrap();
    let (kv, q) = (normal((1, 2, 300, 8), 1), normal((1, 2, 1, 8), 2));
    let (old, new) = kv.view().split_at(Axis(2), 299);
    let problem = Problem::new(old, old, old).unwrap();
    let mut cache = variant.prepare(&problem, &Workers::serial()).unwrap();
    cache.append(new, new).unwrap();
    let seen = kv.slice(s![.., .., 270.., ..]);
    let problem = Problem::new(q.view(), seen, seen).unwrap();
    assert!(worst(&problem, &ask(cache.as_ref(), q.view(), 8, 1)) < 2e-6);
}

/// What a cache holds, computed here.
fn rounded(precision: Precision, x: &Array4<f32>) -> Array4<f32> {
    let mut x = x.clone();
    match precision {
        Precision::F32 => {}
        Precision::Bf16 => x.mapv_inplace(|x| {
            let step = f64::from(x.abs()).log2().floor().exp2() / 128.0;
            ((f64::from(x) / step).round_ties_even() * step) as f32
        }),
        Precision::Int8 => {
            for mut row in x.lanes_mut(Axis(3)) {
                let unit = row.iter().fold(0.0f32, |m, x| m.max(x.abs())) / 127.0;
                row.mapv_inplace(|x| (x / unit).round() * unit);
            }
        }
    }
    x
}

/// (implementation, approximation) error: against the oracle of what the cache holds, and of the
/// keys and values that it was given.
#[test]
fn narrow_caches_err_by_their_rounding_alone() {
    for (precision, bytes, limit) in [
        (Precision::F32, 4, 1e-6),
        (Precision::Bf16, 2, 3e-3),
        (Precision::Int8, 1, 1.2e-2),
    ] {
        for nq in [1, 9, 64, 70] {
            let (q, k) = (normal((1, 4, nq, 64), 1), normal((1, 2, 900, 64), 2));
            let v = normal((1, 2, 900, 48), 3);
            let problem = Problem::new(q.view(), k.view(), v.view()).unwrap();
            let cache = prepare(precision, &problem, &Workers::serial());
            let scales = if precision == Precision::Int8 {
                2 * 4
            } else {
                0
            };
            assert_eq!(
                cache.bytes(),
                2 * 900 * ((64 + 48) * bytes + scales),
                "{precision:?}"
            );
            let got = ask(cache.as_ref(), q.view(), 48, 2);
            let (held_k, held_v) = (rounded(precision, &k), rounded(precision, &v));
            let held = Problem::new(q.view(), held_k.view(), held_v.view()).unwrap();
            let (implementation, approximation) = (worst(&held, &got), worst(&problem, &got));
            assert!(implementation < 2e-6, "{precision:?}: {implementation:e}");
            assert!(approximation < limit, "{precision:?}: {approximation:e}");
        }
    }
}

#[test]
fn what_is_not_finite_stays_so_in_every_precision_and_hidden_nan_stays_hidden() {
    let (q, mut kv) = (normal((1, 1, 2, 16), 1), normal((1, 1, 600, 16), 2));
    kv[[0, 0, 599, 3]] = f32::NAN;
    let causal = Mask::causal(Alignment::BottomRight);
    let problem = Problem::new(q.view(), kv.view(), kv.view())
        .and_then(|p| p.with_mask(causal))
        .unwrap();
    for precision in PRECISIONS {
        let cache = prepare(precision, &problem, &Workers::serial());
        let output = ask(cache.as_ref(), q.view(), 16, 1);
        let finite = |i: usize| {
            output
                .o
                .slice(s![0, 0, i, ..])
                .iter()
                .all(|x| x.is_finite())
        };
        assert!(finite(0) && !finite(1), "{precision:?}");
    }
}

#[test]
fn what_cannot_grow_says_so() {
    let (q, kv) = (normal((1, 1, 3, 8), 1), normal((1, 1, 5, 8), 2));
    let dense = Mask::dense(Array2::from_elem((3, 5), true));
    let problem = Problem::new(q.view(), kv.view(), kv.view())
        .and_then(|p| p.with_mask(dense))
        .unwrap();
    let mut cache = blocked(Isa::detect())
        .prepare(&problem, &Workers::serial())
        .unwrap();
    assert!(matches!(
        cache.append(kv.view(), kv.view()),
        Err(Error::Shape { tensor: "K", .. })
    ));
    let mut output = Output {
        o: Array4::zeros((1, 1, 2, 8)),
        lse: None,
    };
    let call = cache.forward(
        q.slice(s![.., .., ..2, ..]),
        output.view_mut(),
        &Workers::serial(),
        &mut Scratch::new(),
    );
    assert!(matches!(call, Err(Error::Shape { tensor: "Q", .. })));
    let wrong = normal((1, 1, 3, 7), 3);
    let mut output = Output {
        o: Array4::zeros((1, 1, 3, 8)),
        lse: None,
    };
    let call = cache.forward(
        wrong.view(),
        output.view_mut(),
        &Workers::serial(),
        &mut Scratch::new(),
    );
    assert!(matches!(call, Err(Error::Shape { tensor: "Q", .. })));
    assert!(matches!(
        cache.append(wrong.view(), kv.view()),
        Err(Error::Shape { tensor: "K", .. })
    ));
}
