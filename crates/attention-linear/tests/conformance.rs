//! The contract's suite, on every variant and setting.

use attention::conformance::hold;
use attention::simd::Isa;
use attention_linear::{BASED, COSFORMER, ELU, FAVOR, HEDGEHOG, LINREC, REBASED, RELU, RFA};

/// On every instruction set that the machine has.
fn everywhere(variant: &attention::Variant, settings: &[(&str, &str)]) {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let mut settings = settings.to_vec();
        settings.push(("isa", isa.name()));
        hold(variant, &settings).unwrap();
    }
}

#[test]
fn elu() {
    everywhere(&ELU, &[]);
}

#[test]
fn relu() {
    everywhere(&RELU, &[]);
}

#[test]
fn favor() {
    everywhere(&FAVOR, &[("features", "100"), ("seed", "3")]);
}

#[test]
fn favor_hyperbolic() {
    everywhere(&FAVOR, &[("features", "62"), ("kind", "hyperbolic")]);
}

#[test]
fn favor_plus_plus() {
    everywhere(&FAVOR, &[("features", "64"), ("kind", "plus-plus")]);
}

#[test]
fn linrec_by_token() {
    everywhere(&LINREC, &[]);
}

#[test]
fn linrec_as_in_the_paper() {
    everywhere(&LINREC, &[("normalisation", "paper")]);
}

#[test]
fn cosformer() {
    everywhere(&COSFORMER, &[]);
}

#[test]
fn rfa() {
    everywhere(&RFA, &[("features", "44")]);
}

#[test]
fn hedgehog() {
    everywhere(&HEDGEHOG, &[]);
}

#[test]
fn rebased() {
    everywhere(&REBASED, &[("dim", "5")]);
}

#[test]
fn rebased_without_a_projection() {
    everywhere(&REBASED, &[("dim", "0")]);
}

#[test]
fn based() {
    everywhere(&BASED, &[]);
}

#[test]
fn based_with_a_wider_window() {
    everywhere(&BASED, &[("dim", "5"), ("window", "192")]);
}

#[test]
fn based_without_a_window() {
    everywhere(&BASED, &[("dim", "0"), ("window", "0")]);
}

#[test]
fn second_degree_near_the_ends_of_its_ranges() {
    for settings in [[("dim", "64")], [("dim", "0")]] {
        hold(&BASED, &settings).unwrap();
        hold(&REBASED, &settings).unwrap();
    }
    hold(&BASED, &[("window", "256")]).unwrap();
}
