//! The contract's suite, on every variant of this crate and several settings of each.

use attention::Variant;
use attention::conformance;
use attention::variant::{Parameters, Value};

fn conforms(variant: &Variant, settings: &[(&'static str, Value)]) {
    let mut parameters = Parameters::defaults(variant.parameters);
    settings
        .iter()
        .for_each(|(name, value)| parameters.set(name, *value));
    let attention = (variant.build)(&parameters).expect("settings in range");
    for outcome in conformance::run(attention.as_ref()) {
        if let Err(fault) = outcome.verdict {
            panic!(
                "{} {settings:?}, {}: {fault}",
                variant.name, outcome.check.name
            );
        }
    }
}

#[test]
fn naive_conforms() {
    conforms(&attention_naive::NAIVE, &[]);
}

#[test]
fn naive_gemm_conforms() {
    conforms(&attention_naive::NAIVE_GEMM, &[]);
}
