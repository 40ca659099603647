//! The contract's suite, on every variant and setting.

use attention::conformance::hold;
use attention_linear::{ELU, FAVOR, LINREC};

#[test]
fn elu() {
    hold(&ELU, &[]).unwrap();
}

#[test]
fn favor() {
    hold(&FAVOR, &[("features", "100"), ("seed", "3")]).unwrap();
}

#[test]
fn linrec_by_token() {
    hold(&LINREC, &[]).unwrap();
}

#[test]
fn linrec_as_in_the_paper() {
    hold(&LINREC, &[("normalisation", "paper")]).unwrap();
}
