//! Top-k attention against its slow form, the oracle and a sort.

use attention::accuracy::{Accuracy, Reference, RowSample};
use attention::mask::{Alignment, BlockMask, Mask};
use attention::variant::Parameters;
use attention::{Attention, Bias, Output, Problem, Scratch, Shape, Workers, oracle};
use attention_retrieval::TOP_K;
use ndarray::{Array2, Array3, Array4, Axis};
use proptest::prelude::*;

fn top(k: usize) -> Box<dyn Attention> {
    let mut parameters = Parameters::defaults(TOP_K.parameters);
    parameters.set("k", TOP_K.parameters[0].accept(&k.to_string()).unwrap());
    (TOP_K.build)(&parameters).unwrap()
}

/// Numbers between -2 and 2 from a small generator.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((state >> 40) as f32 / (1u64 << 22) as f32) - 2.0
    }
}

struct Tensors([Array4<f32>; 3]);

impl Tensors {
    fn noise(s: Shape, seed: u64) -> Self {
        let mut draw = noise(seed);
        let mut tensor = |shape| Array4::from_shape_simple_fn(shape, &mut draw);
        Self([
            tensor((s.b, s.h, s.nq, s.d)),
            tensor((s.b, s.hkv, s.nk, s.d)),
            tensor((s.b, s.hkv, s.nk, s.dv)),
        ])
    }

    fn problem(&self) -> Problem<'_> {
        let [q, k, v] = &self.0;
        Problem::new(q.view(), k.view(), v.view()).unwrap()
    }
}

fn run(variant: &dyn Attention, problem: &Problem<'_>, threads: usize) -> Output {
    let mut out = Output::poisoned(problem.geometry(), true);
    let mut scratch = Scratch::new();
    let foretold = variant.scratch_bytes(problem.geometry(), threads);
    scratch.reserve(foretold);
    let workers = Workers::new(threads).unwrap();
    variant
        .forward(problem, out.view_mut(), &workers, &mut scratch)
        .unwrap();
    assert_eq!(scratch.bytes(), foretold, "scratch was not foretold");
    out
}

fn measure(variant: &dyn Attention, problem: &Problem<'_>) -> Accuracy {
    let out = run(variant, problem, 1);
    let workers = Workers::serial();
    let sample = RowSample::all(problem.geometry());
    let reference = Reference::compute(problem, &sample, &workers);
    reference.measure(variant, problem, &out, &workers).unwrap()
}

const ODD: Shape = Shape {
    b: 2,
    h: 4,
    hkv: 2,
    nq: 50,
    nk: 333,
    d: 17,
    dv: 5,
};

#[test]
fn with_room_for_all_keys_it_is_softmax_attention() {
    let tensors = Tensors::noise(ODD, 1);
    for mask in [Mask::full(), Mask::causal(Alignment::BottomRight)] {
        let problem = tensors.problem().with_mask(mask).unwrap();
        for k in [333, usize::MAX / 4] {
            let accuracy = measure(&*top(k), &problem);
            assert!(accuracy.total.relative_frobenius < 2e-6, "{accuracy:?}");
            assert_eq!(accuracy.weights.unwrap().missed_mass, 0.0);
        }
        let out = run(&*top(333), &problem, 1);
        let exact = oracle::rows(&problem.head(1, 3), &[49]);
        let lse = f64::from(out.lse.unwrap()[[1, 3, 49]]);
        approx::assert_relative_eq!(lse, exact.lse[0], max_relative = 1e-6);
    }
}

#[test]
fn more_keys_miss_less_mass() {
    let tensors = Tensors::noise(ODD, 2);
    let problem = tensors.problem().with_scale(1.0);
    let missed: Vec<f64> = [1, 2, 8, 64, 200, 333]
        .map(|k| measure(&*top(k), &problem).weights.unwrap().missed_mass)
        .to_vec();
    assert!(missed.windows(2).all(|w| w[1] < w[0]), "{missed:?}");
    assert_eq!(missed[5], 0.0);
}

#[test]
fn one_key_is_the_best_one() {
    let tensors = Tensors::noise(ODD, 3);
    let problem = tensors.problem();
    let out = run(&*top(1), &problem, 1);
    let head = problem.head(1, 2);
    let exact = oracle::rows(&head, &[7]);
    let best = (0..333).max_by(|&a, &b| exact.weights[[0, a]].total_cmp(&exact.weights[[0, b]]));
    let expected = head.v.row(best.unwrap());
    for (c, v) in expected.iter().enumerate() {
        assert_eq!(out.o[[1, 2, 7, c]], *v);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let tensors = Tensors::noise(ODD, 4);
    let problem = tensors
        .problem()
        .with_mask(Mask::causal(Alignment::TopLeft))
        .unwrap();
    let one = run(&*top(20), &problem, 1);
    for threads in [2, 4] {
        assert_eq!(run(&*top(20), &problem, threads), one);
    }
}

#[test]
fn a_visible_nan_reaches_its_rows_and_a_masked_one_none() {
    let clean = Tensors::noise(ODD, 5);
    let mut dirty = Tensors::noise(ODD, 5);
    let at = 200;
    dirty.0[1].index_axis_mut(Axis(2), at).fill(f32::NAN);
    dirty.0[2].index_axis_mut(Axis(2), at).fill(f32::INFINITY);
    // Query i stands at key i + 170.
    let mask = || Mask::causal(Alignment::Offset(170));
    let out = run(&*top(9), &dirty.problem().with_mask(mask()).unwrap(), 1).o;
    let expected = run(&*top(9), &clean.problem().with_mask(mask()).unwrap(), 1).o;
    let (before, after) = out.view().split_at(Axis(2), at - 170);
    assert_eq!(before, expected.view().split_at(Axis(2), at - 170).0);
    assert!(after.iter().all(|x| x.is_nan()));
}

#[test]
fn huge_logits_stay_finite_and_nothing_is_answered() {
    let tensors = Tensors::noise(ODD, 6);
    let problem = tensors.problem().with_scale(1e4);
    let accuracy = measure(&*top(8), &problem);
    assert!(accuracy.implementation.relative_frobenius < 1e-2);
    for empty in [
        Shape { b: 0, ..ODD },
        Shape { nq: 0, ..ODD },
        Shape { nk: 0, ..ODD },
        Shape { d: 0, ..ODD },
        Shape { dv: 0, ..ODD },
    ] {
        let tensors = Tensors::noise(empty, 7);
        let out = run(&*top(8), &tensors.problem(), 2);
        assert!(out.o.iter().all(|x| x.is_finite()));
        if empty.nk == 0 {
            assert!(out.lse.unwrap().iter().all(|&l| l == f32::NEG_INFINITY));
        }
    }
}

#[test]
fn kept_pairs_are_counted_and_all_are_paid_for() {
    let tensors = Tensors::noise(ODD, 8);
    let problem = tensors
        .problem()
        .with_mask(Mask::causal(Alignment::TopLeft))
        .unwrap();
    let few = top(10);
    // Rows 0 to 8 see fewer than ten keys: 45 pairs; the other 41 keep ten.
    assert_eq!(few.scored_pairs(problem.geometry()), 8 * (45 + 410));
    let flops = |k: usize| top(k).cost(problem.geometry(), 1).flops;
    let scoring = problem.geometry().visible_pairs() * (2 * 17 + 2);
    assert_eq!(
        flops(10),
        scoring + few.scored_pairs(problem.geometry()) * (2 * 5 + 4)
    );
}

fn mask(kind: usize, b: usize, nq: usize, nk: usize, seed: u64) -> Mask {
    let mut draw = noise(seed);
    match kind {
        0 => Mask::full(),
        1 => Mask::causal(Alignment::BottomRight),
        2 => Mask::causal(Alignment::Offset(-2)).and(&Mask::window(7)),
        3 => Mask::key_lengths((0..b).map(|s| nk * s / b).collect::<Vec<_>>()),
        4 => Mask::dense(Array2::from_shape_simple_fn((nq, nk), || draw() > 0.5)),
        _ => Mask::blocks(BlockMask::random(nq, nk, 5, 0.4, seed).unwrap())
            .and(&Mask::causal(Alignment::TopLeft)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Against the oracle over a dense mask of the k best keys, found by sorting f64 scores: with
    /// tensors of few bits, all scores are exact in f32 and ties are ties.
    #[test]
    fn it_is_the_oracle_over_the_best_keys(
        (nq, nk, d, dv) in (1usize..70, 1usize..150, 1usize..9, 1usize..5),
        (kind, k, seed) in (0usize..6, 1usize..40, any::<u64>()),
        biased in any::<bool>(),
    ) {
        let s = Shape { b: 2, h: 2, hkv: 1, nq, nk, d, dv };
        let mut tensors = Tensors::noise(s, seed);
        tensors.0.iter_mut().take(2).for_each(|t| t.mapv_inplace(f32::round));
        let mut draw = noise(seed ^ 1);
        let table = Array3::from_shape_simple_fn((2, nq, nk), || draw().round());
        let mut problem = tensors.problem().with_scale(0.5);
        if biased {
            problem = problem.with_bias(Bias::Dense(table.view())).unwrap();
        }
        let problem = problem.with_mask(mask(kind, 2, nq, nk, seed)).unwrap();
        let variant = top(k);
        let out = run(&*variant, &problem, 1);
        for head in problem.heads() {
            let exact = oracle::rows(&head, &(0..nq).collect::<Vec<_>>());
            for i in 0..nq {
                let weights = exact.weights.row(i);
                let mut keys: Vec<usize> = (0..nk).filter(|&j| head.mask.visible(i, j)).collect();
                let score = |j: usize| {
                    let bias = head.bias.map_or(0.0, |b| b.at(i, j));
                    head.q.row(i).dot(&head.k.row(j)) * head.scale + bias
                };
                keys.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
                keys.truncate(k);
                let sum: f64 = keys.iter().map(|&j| weights[j]).sum();
                for c in 0..dv {
                    let value = |j: &usize| weights[*j] / sum * f64::from(head.v[[*j, c]]);
                    let expected: f64 = keys.iter().map(value).sum();
                    let o = f64::from(out.o[[head.sequence, head.head, i, c]]);
                    prop_assert!((o - expected).abs() < 1e-5, "{} and {}", o, expected);
                }
                let lse = f64::from(out.lse.as_ref().unwrap()[[head.sequence, head.head, i]]);
                let expected = exact.lse[i] + sum.ln();
                prop_assert!(keys.is_empty() && lse == f64::NEG_INFINITY
                    || (lse - expected).abs() < 1e-5);
            }
        }
    }

    /// The kernel against the form, scores of any bits.
    #[test]
    fn the_kernel_computes_its_form(
        (nq, nk, d, dv) in (1usize..70, 1usize..400, 1usize..40, 1usize..20),
        (kind, k, seed) in (0usize..6, 1usize..200, any::<u64>()),
    ) {
        let tensors = Tensors::noise(Shape { b: 2, h: 2, hkv: 1, nq, nk, d, dv }, seed);
        let problem = tensors.problem().with_mask(mask(kind, 2, nq, nk, seed)).unwrap();
        let variant = top(k);
        let error = measure(&*variant, &problem).implementation.relative_frobenius;
        prop_assert!(error <= variant.error_budget(1.0), "{error:e}");
    }
}
