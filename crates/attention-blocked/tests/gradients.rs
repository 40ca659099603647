//! Backward against the definition in f64: shapes, masks, layouts, biases, paths, threads.

use attention::dropout::Dropout;
use attention::mask::{Alignment, BlockMask, Mask, Part};
use attention::variant::{Parameters, Value};
use attention::{Attention, Bias, Gradients, Output, Problem, Scratch, Variant, Workers, oracle};
use attention_blocked::{BLOCKED, Isa, RANDOM_BLOCKS, SLIDING_WINDOW};
use ndarray::{Array, Array2, Array3, Array4, ArrayD, Axis, Dimension, ShapeBuilder};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal<D: Dimension, S: ShapeBuilder<Dim = D>>(shape: S, seed: u64) -> Array<f32, D> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng))
}

fn build(variant: &Variant, settings: &[(&'static str, Value)]) -> Box<dyn Attention> {
    let mut parameters = Parameters::defaults(variant.parameters);
    for (name, value) in settings {
        parameters.set(name, *value);
    }
    (variant.build)(&parameters).expect("settings in range")
}

fn on(isa: Isa) -> Box<dyn Attention> {
    build(&BLOCKED, &[("isa", Value::Word(isa.name()))])
}

fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

fn gradients(
    attention: &dyn Attention,
    problem: &Problem<'_>,
    d_o: &Array4<f32>,
    workers: &Workers,
) -> Gradients {
    let mut saved = Output::poisoned(problem.geometry(), true);
    let mut scratch = Scratch::new();
    attention
        .forward(problem, saved.view_mut(), workers, &mut scratch)
        .expect("an answer");
    let mut gradients = Gradients::zeros(problem);
    gradients.fill(f32::NAN);
    attention
        .backward(
            problem,
            &saved,
            d_o.view(),
            &mut gradients,
            workers,
            &mut scratch,
        )
        .expect("gradients");
    gradients
}

/// A gradient, and the same sum of absolute values: what rounding errors are a share of.
struct Sum {
    value: ArrayD<f64>,
    size: ArrayD<f64>,
}

impl Sum {
    fn zeros(shape: &[usize]) -> Self {
        let zeros = || ArrayD::zeros(shape);
        Self {
            value: zeros(),
            size: zeros(),
        }
    }

    fn add(&mut self, at: &[usize], x: f64, size: f64) {
        self.value[at] += x;
        self.size[at] += size;
    }
}

/// dQ, dK, dV and dbias by their definition.
fn reference(problem: &Problem<'_>, d_o: &Array4<f32>) -> Vec<Sum> {
    let (geometry, s) = (problem.geometry(), problem.shape());
    let lead = if geometry.is_jagged() { 1 } else { s.b };
    let mut sums = vec![
        Sum::zeros(&[lead, s.h, s.nq, s.d]),
        Sum::zeros(&[lead, s.hkv, s.nk, s.d]),
        Sum::zeros(&[lead, s.hkv, s.nk, s.dv]),
    ];
    sums.extend(problem.bias().map(|bias| match bias {
        Bias::Dense(table) => Sum::zeros(table.shape()),
        Bias::Relative(table) => Sum::zeros(table.shape()),
        _ => Sum::zeros(&[]),
    }));
    let scale = f64::from(problem.scale());
    for head in problem.heads() {
        let rows: Vec<usize> = (0..head.q.nrows()).collect();
        let exact = oracle::rows(&head, &rows);
        let batch = if geometry.is_jagged() {
            0
        } else {
            head.sequence
        };
        let key_head = geometry.key_head(head.head);
        // The oracle's weights are those after dropout, which leaves L as it is.
        let mut whole = head;
        whole.dropout = None;
        let before = oracle::rows(&whole, &rows);
        for i in rows {
            let drawn = head.dropout.map(|drop| (drop, drop.row(i)));
            let query = geometry.query_range(head.sequence).start + i;
            let d_o: Vec<f64> = (0..s.dv)
                .map(|c| f64::from(d_o[[batch, head.head, query, c]]))
                .collect();
            let (delta, delta_size) = dot(&d_o, exact.output.row(i).iter().copied());
            for j in (0..head.k.nrows()).filter(|&j| head.mask.visible(i, j)) {
                let key = geometry.key_range(head.sequence).start + j;
                let m = drawn.map_or(1.0, |(drop, row)| f64::from(drop.multiplier(row, j)));
                let p = before.weights[[i, j]];
                let (dp, dp_size) = dot(&d_o, head.v.row(j).iter().map(|x| f64::from(*x)));
                let (ds, ds_size) = (p * (m * dp - delta), p * (m * dp_size + delta_size));
                for c in 0..s.dv {
                    sums[2].add(&[batch, key_head, key, c], p * d_o[c], p * d_o[c].abs());
                }
                for c in 0..s.d {
                    let (q, k) = (
                        scale * f64::from(head.q[[i, c]]),
                        scale * f64::from(head.k[[j, c]]),
                    );
                    sums[0].add(&[batch, head.head, query, c], ds * k, ds_size * k.abs());
                    sums[1].add(&[batch, key_head, key, c], ds * q, ds_size * q.abs());
                }
                if let Some(bias) = problem.bias() {
                    sums[3].add(&bias.index(head.head, i, j), ds, ds_size);
                }
            }
        }
    }
    sums
}

fn dot(a: &[f64], b: impl Iterator<Item = f64>) -> (f64, f64) {
    a.iter().zip(b).fold((0.0, 0.0), |(sum, size), (a, b)| {
        (sum + a * b, size + (a * b).abs())
    })
}

/// The error as a share of the gradient; where the terms cancel, of a fifteenth of their size.
fn relative<'a>(got: impl Iterator<Item = &'a f32>, exact: &Sum) -> f64 {
    let norm = |x: &ArrayD<f64>| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let error = got
        .zip(&exact.value)
        .map(|(got, exact)| (f64::from(*got) - exact).powi(2));
    let error = error.sum::<f64>().sqrt();
    let share = error / (norm(&exact.value).max(norm(&exact.size) / 15.0));
    match (error == 0.0, share.is_nan()) {
        (true, _) => 0.0,
        (_, true) => f64::INFINITY,
        _ => share,
    }
}

/// The largest error of dQ, dK, dV and dbias.
fn worst(attention: &dyn Attention, problem: &Problem<'_>, d_o: &Array4<f32>) -> f64 {
    let got = gradients(attention, problem, d_o, &Workers::serial());
    furthest(&got, &reference(problem, d_o))
}

fn furthest(got: &Gradients, exact: &[Sum]) -> f64 {
    let mut parts = vec![
        got.dq.view().into_dyn(),
        got.dk.view().into_dyn(),
        got.dv.view().into_dyn(),
    ];
    parts.extend(got.dbias.as_ref().map(|dbias| dbias.view()));
    assert_eq!(parts.len(), exact.len());
    let errors = parts
        .iter()
        .zip(exact)
        .map(|(got, exact)| relative(got.iter(), exact));
    errors.fold(0.0, f64::max)
}

fn mask(kind: u8, b: usize, nq: usize, nk: usize, seed: u64) -> Mask {
    let pick = |n: usize| (seed >> 7) as usize % n;
    match kind {
        0 => Mask::full(),
        1 => Mask::causal(Alignment::TopLeft),
        2 => Mask::causal(Alignment::BottomRight),
        3 => Mask::window(1 + pick(nk + 3)),
        4 => Part::SymmetricWindow {
            radius: pick(nk),
            alignment: Alignment::Offset(pick(7) as isize - 3),
        }
        .into(),
        5 => Mask::key_lengths(
            (0..b)
                .map(|s| (pick(nk + 1) + 31 * s) % (nk + 1))
                .collect::<Vec<_>>(),
        ),
        6 => Mask::dense(Array2::from_shape_fn((nq, nk), |(i, j)| {
            (seed ^ (i * 2_654_435_761 + j * 40_503) as u64).is_multiple_of(3)
        })),
        _ => Mask::blocks(BlockMask::random(nq, nk, 1 + pick(90), 0.3, seed).expect("in range")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn padded_batches_agree_with_the_definition(
        (b, hkv, group) in (1usize..3, 1usize..3, 1usize..3),
        (nq, nk) in (1usize..200, 1usize..200),
        (d, dv) in (1usize..70, 1usize..70),
        (kinds, bias, rate) in ((0u8..8, 0u8..8), 0u8..6, 0usize..4),
        seed in any::<u64>(),
    ) {
        let h = hkv * group;
        let (q, k) = (normal((b, h, nq, d), seed), normal((b, hkv, nk, d), seed ^ 1));
        let (v, d_o) = (normal((b, hkv, nk, dv), seed ^ 2), normal((b, h, nq, dv), seed ^ 3));
        let heads = if bias % 2 == 0 { 1 } else { h };
        let (dense, relative): (Array3<f32>, Array2<f32>) =
            (normal((heads, nq, nk), seed ^ 4), normal((heads, 21), seed ^ 5));
        let both = mask(kinds.0, b, nq, nk, seed).and(&mask(kinds.1, b, nq, nk, seed.rotate_left(20)));
        let mut problem = Problem::new(q.view(), k.view(), v.view()).unwrap().with_mask(both).unwrap();
        problem = match bias {
            0 | 1 => problem.with_bias(Bias::Dense(dense.view())).unwrap(),
            2 | 3 => problem.with_bias(Bias::Relative(relative.view())).unwrap(),
            _ => problem,
        };
        if rate > 0 {
            problem = problem.with_dropout(Dropout::new([0.1, 0.5, 0.9][rate - 1], seed).unwrap());
        }
        let isa = available().nth(seed as usize % available().count()).unwrap();
        let error = worst(on(isa).as_ref(), &problem, &d_o);
        prop_assert!(error < 3e-6, "{error:e} on {isa:?}");
    }

    #[test]
    fn ragged_batches_agree_with_the_definition(
        lengths in proptest::collection::vec((0usize..140, 0usize..140), 1..5),
        causal in any::<bool>(),
        shared in any::<bool>(),
        d in 1usize..40,
        seed in any::<u64>(),
    ) {
        let offsets = |pick: fn(&(usize, usize)) -> usize| -> Vec<usize> {
            let ends = lengths.iter().scan(0, |end, n| { *end += pick(n); Some(*end) });
            std::iter::once(0).chain(ends).collect()
        };
        let (q_offsets, k_offsets) = (offsets(|n| n.0), offsets(|n| n.1));
        let (nq, nk) = (q_offsets[lengths.len()], k_offsets[lengths.len()]);
        let (q, k, v) = (normal((1, 4, nq, d), seed), normal((1, 2, nk, d), seed ^ 1), normal((1, 2, nk, 5), seed ^ 2));
        let d_o = normal((1, 4, nq, 5), seed ^ 3);
        let table = normal((if shared { 1 } else { 4 }, 9), seed ^ 4);
        let mask = if causal { Mask::causal(Alignment::BottomRight) } else { Mask::full() };
        let problem = Problem::jagged(q.view(), k.view(), v.view(), q_offsets, k_offsets)
            .unwrap()
            .with_mask(mask)
            .unwrap()
            .with_bias(Bias::Relative(table.view()))
            .unwrap();
        let error = worst(on(Isa::detect()).as_ref(), &problem, &d_o);
        prop_assert!(error < 3e-6, "{error:e}");
    }
}

#[test]
fn every_width_is_right_on_every_path() {
    for isa in available() {
        for (d, dv) in [
            (1, 1),
            (16, 48),
            (32, 32),
            (48, 96),
            (50, 50),
            (64, 128),
            (96, 16),
            (128, 128),
            (256, 250),
        ] {
            for (nq, nk) in [(50, 50), (131, 70)] {
                let (q, k) = (normal((1, 1, nq, d), 1), normal((1, 1, nk, d), 2));
                let (v, d_o) = (normal((1, 1, nk, dv), 3), normal((1, 1, nq, dv), 4));
                let problem = Problem::new(q.view(), k.view(), v.view()).unwrap();
                let error = worst(on(isa).as_ref(), &problem, &d_o);
                assert!(error < 3e-6, "{isa:?} {d} {dv} {nq} {nk}: {error:e}");
            }
        }
    }
}

#[test]
fn patterns_have_the_gradients_of_what_they_see() {
    let (q, k, v) = (
        normal((1, 2, 150, 16), 1),
        normal((1, 2, 150, 16), 2),
        normal((1, 2, 150, 16), 3),
    );
    let d_o = normal((1, 2, 150, 16), 4);
    let problem = Problem::new(q.view(), k.view(), v.view()).unwrap();
    let variants = [
        build(&SLIDING_WINDOW, &[("window", Value::Integer(20))]),
        build(
            &RANDOM_BLOCKS,
            &[
                ("block", Value::Integer(16)),
                ("density", Value::Float(0.2)),
            ],
        ),
    ];
    for attention in variants {
        let pattern = attention.pattern(problem.geometry()).unwrap().unwrap();
        let got = gradients(attention.as_ref(), &problem, &d_o, &Workers::serial());
        let exact = reference(&problem.patterned(&pattern).unwrap(), &d_o);
        assert!(furthest(&got, &exact) < 3e-6);
    }
}

#[test]
fn any_memory_order_of_the_gradient_by_the_output_is_read() {
    let (q, k, v) = (
        normal((2, 2, 70, 8), 1),
        normal((2, 2, 70, 8), 2),
        normal((2, 2, 70, 8), 3),
    );
    let d_o: Array4<f32> = normal((2, 2, 70, 8), 4);
    let problem = Problem::new(q.view(), k.view(), v.view()).unwrap();
    let attention = on(Isa::detect());
    let plain = gradients(attention.as_ref(), &problem, &d_o, &Workers::serial());
    let mut turned = Array4::zeros((2, 2, 70, 8).f());
    turned.assign(&d_o);
    assert_eq!(
        gradients(attention.as_ref(), &problem, &turned, &Workers::serial()),
        plain
    );
}

/// Hidden keys and values may hold anything; a fault in what is visible reaches exactly the gradients
/// that depend on it.
#[test]
fn what_is_not_finite_reaches_what_depends_on_it_and_nothing_else() {
    let mut shape = Mask::dense(Array2::from_shape_fn((100, 90), |(i, j)| {
        (i * 7 + j * 3) % 5 != 0
    }));
    shape = shape.and(&Mask::causal(Alignment::TopLeft));
    let dense = shape.to_dense(0, 100, 90);
    let attention = on(Isa::detect());
    for bad in [f32::NAN, f32::INFINITY] {
        for place in ["query", "key", "value", "d_o"] {
            let (mut q, mut k) = (normal((1, 1, 100, 8), 1), normal((1, 1, 90, 8), 2));
            let (mut v, mut d_o) = (normal((1, 1, 90, 8), 3), normal((1, 1, 100, 8), 4));
            let tensor = match place {
                "query" => &mut q,
                "key" => &mut k,
                "value" => &mut v,
                _ => &mut d_o,
            };
            tensor[[0, 0, 40, 3]] = bad;
            let problem = Problem::new(q.view(), k.view(), v.view())
                .unwrap()
                .with_mask(shape.clone())
                .unwrap();
            let got = gradients(attention.as_ref(), &problem, &d_o, &Workers::serial());
            // A bad query spoils its row of weights, a bad key or value those of all who see it.
            let spoilt: Vec<bool> = (0..100)
                .map(|i| match place {
                    "query" | "d_o" => i == 40,
                    _ => dense[[i, 40]],
                })
                .collect();
            for (i, row) in got
                .dq
                .index_axis(Axis(0), 0)
                .index_axis(Axis(0), 0)
                .outer_iter()
                .enumerate()
            {
                assert!(
                    spoilt[i] || row.iter().all(|x| x.is_finite()),
                    "{bad} in {place}: dQ {i}"
                );
                if bad.is_nan() && spoilt[i] {
                    assert!(
                        row.iter().any(|x| x.is_nan()),
                        "{place}: dQ {i} hides a fault"
                    );
                }
            }
            for (j, row) in got
                .dk
                .index_axis(Axis(0), 0)
                .index_axis(Axis(0), 0)
                .outer_iter()
                .enumerate()
            {
                let depends = (0..100).any(|i| spoilt[i] && dense[[i, j]]);
                assert!(
                    depends || row.iter().all(|x| x.is_finite()),
                    "{bad} in {place}: dK {j}"
                );
                if bad.is_nan() && depends {
                    assert!(
                        row.iter().any(|x| x.is_nan()),
                        "{place}: dK {j} hides a fault"
                    );
                }
            }
        }
        // Nobody sees these keys.
        let (mut k, mut v) = (normal((1, 1, 120, 8), 2), normal((1, 1, 120, 8), 3));
        let (q, d_o) = (normal((1, 1, 100, 8), 1), normal((1, 1, 100, 8), 4));
        let clean = (k.clone(), v.clone());
        for j in 70..120 {
            k[[0, 0, j, 0]] = bad;
            v[[0, 0, j, 5]] = bad;
        }
        let of = |k: &Array4<f32>, v: &Array4<f32>| {
            let problem = Problem::new(q.view(), k.view(), v.view())
                .unwrap()
                .with_mask(Mask::key_lengths([70]))
                .unwrap();
            gradients(attention.as_ref(), &problem, &d_o, &Workers::serial())
        };
        let (got, expected) = (of(&k, &v), of(&clean.0, &clean.1));
        let close =
            |a: &Array4<f32>, b: &Array4<f32>| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(
            close(&got.dq, &expected.dq)
                && close(&got.dk, &expected.dk)
                && close(&got.dv, &expected.dv)
        );
        assert!(
            got.dk
                .slice(ndarray::s![.., .., 70.., ..])
                .iter()
                .all(|x| *x == 0.0)
        );
    }
}

#[test]
fn rows_that_see_nothing_have_no_gradient_and_give_none() {
    let (q, k, v) = (
        normal((1, 1, 90, 8), 1),
        normal((1, 1, 90, 8), 2),
        normal((1, 1, 90, 8), 3),
    );
    let d_o = normal((1, 1, 90, 8), 4);
    for mask in [Mask::causal(Alignment::Offset(-20)), Mask::key_lengths([0])] {
        let problem = Problem::new(q.view(), k.view(), v.view())
            .unwrap()
            .with_mask(mask)
            .unwrap();
        let got = gradients(
            on(Isa::detect()).as_ref(),
            &problem,
            &d_o,
            &Workers::serial(),
        );
        assert!(
            got.dq
                .slice(ndarray::s![.., .., ..20, ..])
                .iter()
                .all(|x| *x == 0.0)
        );
        assert!(worst(on(Isa::detect()).as_ref(), &problem, &d_o) < 3e-6);
    }
}

#[test]
fn the_bits_do_not_depend_on_threads() {
    let tables = [normal((1, 31), 5), normal((4, 31), 6)];
    let cases: [(usize, usize, Option<&Array2<f32>>); 4] = [
        (1, 1, None),
        (3, 2, None),
        (2, 2, Some(&tables[0])),
        (2, 2, Some(&tables[1])),
    ];
    for (b, hkv, table) in cases {
        let h = if table.is_some() { 4 } else { hkv };
        let (q, k, v) = (
            normal((b, h, 700, 16), 1),
            normal((b, hkv, 500, 16), 2),
            normal((b, hkv, 500, 16), 3),
        );
        let d_o = normal((b, h, 700, 16), 4);
        for mask in [
            Mask::full(),
            Mask::causal(Alignment::BottomRight),
            Mask::window(90),
        ] {
            let mut problem = Problem::new(q.view(), k.view(), v.view())
                .unwrap()
                .with_mask(mask)
                .unwrap();
            if let Some(table) = table {
                problem = problem.with_bias(Bias::Relative(table.view())).unwrap();
            }
            let attention = on(Isa::detect());
            let bits = |threads: usize| -> Vec<u32> {
                let got = gradients(
                    attention.as_ref(),
                    &problem,
                    &d_o,
                    &Workers::new(threads).unwrap(),
                );
                let all = got.dq.iter().chain(&got.dk).chain(&got.dv);
                all.chain(got.dbias.iter().flatten())
                    .map(|x| x.to_bits())
                    .collect()
            };
            let first = bits(1);
            for threads in [1, 2, 4, 4, 4] {
                assert!(bits(threads) == first, "{b} {hkv} {threads}");
            }
        }
    }
}
