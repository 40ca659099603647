//! Few queries: split keys against the f64 oracle, on every instruction set.

mod support;

use attention::mask::{Alignment, Mask};
use attention::{Bias, Output, Problem, Scratch, Workers};
use attention_blocked::{Isa, attend};
use ndarray::{Array2, Axis, s};
use proptest::prelude::*;
use support::{answer, blocked, isas, mask, normal, worst};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn padded_batches_agree_with_the_oracle(
        (b, hkv, group) in (1usize..3, 1usize..3, 1usize..5),
        (nq, nk) in (1usize..=16, 1usize..1400),
        (d, dv) in prop_oneof![(1usize..70, 1usize..70), (200usize..=256, 200usize..=256)],
        kinds in (0u8..7, 0u8..7),
        (biased, isa) in (any::<bool>(), 0usize..3),
        seed in any::<u64>(),
    ) {
        let (q, k) = (normal((b, hkv * group, nq, d), seed), normal((b, hkv, nk, d), seed ^ 1));
        let v = normal((b, hkv, nk, dv), seed ^ 2);
        let both = mask(kinds.0, b, nq, nk, seed).and(&mask(kinds.1, b, nq, nk, seed.rotate_left(20)));
        let table = normal((1, 1, hkv * group, 41), seed ^ 3).index_axis_move(Axis(0), 0).index_axis_move(Axis(0), 0);
        let mut problem = Problem::new(q.view(), k.view(), v.view()).unwrap().with_mask(both).unwrap();
        if biased {
            problem = problem.with_bias(Bias::Relative(table.view())).unwrap();
        }
        let isa = isas()[isa % isas().len()];
        let error = worst(&problem, &answer(blocked(isa).as_ref(), &problem));
        prop_assert!(error < 2e-6, "{error} on {}", isa.name());
    }

    /// Histories with few and with many queries go different ways in one call.
    #[test]
    fn ragged_batches_agree_with_the_oracle(
        lengths in proptest::collection::vec((0usize..22, 0usize..1200), 1..6),
        causal in any::<bool>(),
        d in 1usize..40,
        isa in 0usize..3,
        seed in any::<u64>(),
    ) {
        let offsets = |pick: fn(&(usize, usize)) -> usize| -> Vec<usize> {
            let ends = lengths.iter().scan(0, |end, n| { *end += pick(n); Some(*end) });
            std::iter::once(0).chain(ends).collect()
        };
        let (q_offsets, k_offsets) = (offsets(|n| n.0), offsets(|n| n.1));
        let (nq, nk) = (q_offsets[lengths.len()], k_offsets[lengths.len()]);
        let (q, k, v) = (normal((1, 4, nq, d), seed), normal((1, 2, nk, d), seed ^ 1), normal((1, 2, nk, 5), seed ^ 2));
        let mask = if causal { Mask::causal(Alignment::BottomRight) } else { Mask::full() };
        let problem = Problem::jagged(q.view(), k.view(), v.view(), q_offsets, k_offsets)
            .unwrap()
            .with_mask(mask)
            .unwrap();
        let isa = isas()[isa % isas().len()];
        let error = worst(&problem, &answer(blocked(isa).as_ref(), &problem));
        prop_assert!(error < 2e-6, "{error} on {}", isa.name());
    }
}

fn bits(output: &Output) -> Vec<u32> {
    let lse = output.lse.iter().flatten();
    output.o.iter().chain(lse).map(|x| x.to_bits()).collect()
}

#[test]
fn the_same_bits_for_any_number_of_threads_and_on_every_run() {
    for isa in isas() {
        for (h, nq) in [(1, 1), (4, 5), (4, 16)] {
            let (q, kv) = (normal((2, h, nq, 24), 1), normal((2, 1, 3000, 24), 2));
            let problem = Problem::new(q.view(), kv.view(), kv.view()).unwrap();
            let first = answer(blocked(isa).as_ref(), &problem);
            for threads in [1, 2, 4, 4] {
                let mut again = Output::poisoned(problem.geometry(), true);
                let workers = Workers::new(threads).unwrap();
                blocked(isa)
                    .forward(&problem, again.view_mut(), &workers, &mut Scratch::new())
                    .unwrap();
                assert_eq!(
                    bits(&again),
                    bits(&first),
                    "{threads} threads, {}",
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn heads_that_share_a_key_head_get_the_bits_of_heads_that_have_one_each() {
    for isa in isas() {
        for nq in [1, 3, 16] {
            let (q, kv) = (normal((1, 6, nq, 20), 1), normal((1, 2, 1100, 20), 2));
            let repeated = kv.select(Axis(1), &[0, 0, 0, 1, 1, 1]);
            let ask = |kv: &ndarray::Array4<f32>| {
                let problem = Problem::new(q.view(), kv.view(), kv.view()).unwrap();
                bits(&answer(blocked(isa).as_ref(), &problem))
            };
            assert_eq!(ask(&kv), ask(&repeated), "{nq} queries, {}", isa.name());
        }
    }
}

#[test]
fn nan_reaches_the_queries_that_see_it_and_no_others() {
    let (q, kv) = (normal((1, 2, 4, 10), 1), normal((1, 2, 1300, 10), 2));
    // Query 2 alone does not see key 600; nobody sees keys 700 to 800.
    let dense = Array2::from_shape_fn((4, 1300), |(i, j)| {
        !(700..800).contains(&j) && (i != 2 || j != 600)
    });
    for isa in isas() {
        let clean = Problem::new(q.view(), kv.view(), kv.view())
            .and_then(|p| p.with_mask(Mask::dense(dense.clone())))
            .unwrap();
        let expected = answer(blocked(isa).as_ref(), &clean);
        for bad in [f32::NAN, f32::INFINITY] {
            let mut dirty = kv.clone();
            dirty.slice_mut(s![.., .., 700..800, ..]).fill(bad);
            dirty.slice_mut(s![.., .., 600, ..]).fill(bad);
            let problem = Problem::new(q.view(), dirty.view(), dirty.view())
                .and_then(|p| p.with_mask(Mask::dense(dense.clone())))
                .unwrap();
            let output = answer(blocked(isa).as_ref(), &problem);
            for i in 0..4 {
                let (got, clean) = (
                    output.o.slice(s![0, .., i, ..]),
                    expected.o.slice(s![0, .., i, ..]),
                );
                if i == 2 {
                    assert!(
                        (&got - &clean).iter().all(|x| x.abs() < 1e-5),
                        "{bad}, {}",
                        isa.name()
                    );
                } else {
                    assert!(
                        got.iter().all(|x| !x.is_finite()),
                        "{bad} is lost, {}",
                        isa.name()
                    );
                }
            }
        }
    }
}

#[test]
fn one_query_reads_what_many_queries_read() {
    let (q, kv) = (normal((1, 2, 40, 32), 1), normal((1, 2, 2100, 32), 2));
    let all = Problem::new(q.view(), kv.view(), kv.view()).unwrap();
    let all = attend(&all, &Workers::serial());
    let few = q.slice(s![.., .., 7..9, ..]);
    let few = attend(
        &Problem::new(few, kv.view(), kv.view()).unwrap(),
        &Workers::serial(),
    );
    let error = (&few.o - &all.o.slice(s![.., .., 7..9, ..])).mapv(f32::abs);
    assert!(
        error.iter().all(|&x| x < 1e-6),
        "{error:?} on {}",
        Isa::detect().name()
    );
}
