//! Inputs: tuned to their entropy, the same bytes everywhere.

use attention::accuracy::Reference;
use attention::mask::{Alignment, Mask};
use attention::{Shape, Workers};
use experiment::workload::{InputError, InputSpec, Inputs, find};
use experiment::{Needs, Opened, WORKLOADS};
use proptest::prelude::*;

fn spec(workload: &str, n: usize, entropy: Option<f64>) -> InputSpec {
    InputSpec {
        workload: find(workload).unwrap(),
        seed: 5,
        shape: Shape::square(2, 2, n, 16),
        lengths: vec![n, n / 2],
        users: Vec::new(),
        mask: Mask::causal(Alignment::TopLeft),
        entropy,
        rows: 64,
    }
}

fn entropy_of(inputs: &Inputs) -> f64 {
    let workers = Workers::serial();
    let batch = inputs.padded();
    Reference::compute(
        &batch.problem().unwrap(),
        &inputs.sample().unwrap(),
        &workers,
    )
    .mass()
    .entropy
}

#[test]
fn every_workload_reaches_its_entropy() {
    let workers = Workers::new(2).unwrap();
    for workload in WORKLOADS.iter().filter(|w| w.needs == Needs::Nothing) {
        for target in [1.0, 0.9, 0.3, 0.1] {
            let inputs = Inputs::make(
                &spec(workload.name, 200, Some(target)),
                &Opened::default(),
                &workers,
            )
            .unwrap();
            let reached = entropy_of(&inputs);
            assert!(
                (reached - target).abs() < 1e-3,
                "{}: {target} became {reached}",
                workload.name
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn any_entropy_is_reached_or_refused_with_the_nearest(target in 0.002..1.0f64, kind in 0..4usize) {
        let workers = Workers::serial();
        match Inputs::make(&spec(WORKLOADS[kind].name, 60, Some(target)), &Opened::default(), &workers) {
            Ok(inputs) => prop_assert!((entropy_of(&inputs) - target).abs() < 1e-3),
            Err(InputError::OutOfReach(out)) => prop_assert!(out.nearest > target && target < 0.2, "{out}"),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn inputs_are_the_same_bytes_on_any_number_of_threads_and_only_for_the_same_key() {
    let checksum = |spec: &InputSpec, threads| {
        Inputs::make(spec, &Opened::default(), &Workers::new(threads).unwrap())
            .unwrap()
            .checksum()
    };
    let mut seen = Vec::new();
    for workload in WORKLOADS.iter().filter(|w| w.needs == Needs::Nothing) {
        let spec = spec(workload.name, 50, Some(0.5));
        let one = checksum(&spec, 1);
        assert_eq!(one, checksum(&spec, 3));
        let other_seed = InputSpec {
            seed: 6,
            ..spec.clone()
        };
        let natural = InputSpec {
            entropy: None,
            ..spec.clone()
        };
        seen.extend([one, checksum(&other_seed, 1), checksum(&natural, 1)]);
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn inputs_do_not_change_from_version_to_version() {
    let spec = spec("clusters", 20, None);
    let inputs = Inputs::make(&spec, &Opened::default(), &Workers::serial()).unwrap();
    insta::assert_snapshot!(&inputs.checksum()[..16]);
}

#[test]
fn padding_is_behind_and_jagged_histories_follow_each_other() {
    let inputs = Inputs::make(
        &spec("gaussian", 10, None),
        &Opened::default(),
        &Workers::serial(),
    )
    .unwrap();
    let (padded, jagged) = (inputs.padded(), inputs.jagged());
    let (padded, jagged) = (padded.problem().unwrap(), jagged.problem().unwrap());
    assert_eq!(jagged.shape().nk, 15);
    let (short, same) = (padded.head(1, 0), jagged.head(1, 0));
    assert_eq!(short.mask.count(9), 5, "keys behind the history are hidden");
    for row in 0..5 {
        assert_eq!(short.k.row(row), same.k.row(row));
    }
    assert!(short.k.row(5).iter().all(|x| *x == 0.0));
}
