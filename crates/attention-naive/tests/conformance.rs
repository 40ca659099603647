//! The contract's suite, on every variant of this crate.

use attention::conformance::hold;

#[test]
fn naive_conforms() {
    hold(&attention_naive::NAIVE, &[]).unwrap();
}

#[test]
fn naive_gemm_conforms() {
    hold(&attention_naive::NAIVE_GEMM, &[]).unwrap();
}
