//! The contract's own suite, on every variant and setting.

mod common;

use attention::conformance;
use attention_linear::{ELU, FAVOR, LINREC};
use common::build;

fn conforms(variant: &attention::Variant, given: &[(&'static str, &str)]) {
    for outcome in conformance::run(&*build(variant, given)) {
        if let Err(fault) = outcome.verdict {
            panic!(
                "{} {given:?}, {}: {fault}",
                variant.name, outcome.check.name
            );
        }
    }
}

#[test]
fn elu() {
    conforms(&ELU, &[]);
}

#[test]
fn favor() {
    conforms(&FAVOR, &[("features", "100"), ("seed", "3")]);
}

#[test]
fn linrec_by_token() {
    conforms(&LINREC, &[]);
}

#[test]
fn linrec_as_in_the_paper() {
    conforms(&LINREC, &[("normalisation", "paper")]);
}
