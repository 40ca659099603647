//! Random shapes, masks and ragged batches against the f64 oracle.

mod support;

use attention::Problem;
use attention::mask::{Alignment, Mask};
use attention_blocked::Isa;
use proptest::prelude::*;
use support::{answer, blocked, mask, normal};

fn worst(problem: &Problem<'_>) -> f64 {
    support::worst(problem, &answer(blocked(Isa::detect()).as_ref(), problem))
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
