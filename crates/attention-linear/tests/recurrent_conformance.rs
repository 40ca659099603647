//! The contract's suite, on every recurrence and instruction set.

use attention::conformance::hold;
use attention::simd::Isa;
use attention::variant::Variant;
use attention_linear::{DELTANET, GATED_DELTANET, GLA, RETNET, SELECTIVE_SCAN};

fn on_every_isa(variant: &Variant) {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        hold(variant, &[("isa", isa.name())]).unwrap();
    }
}

#[test]
fn retnet() {
    on_every_isa(&RETNET);
}

#[test]
fn deltanet() {
    on_every_isa(&DELTANET);
}

#[test]
fn gated_deltanet() {
    on_every_isa(&GATED_DELTANET);
}

#[test]
fn gla() {
    on_every_isa(&GLA);
}

#[test]
fn selective_scan() {
    on_every_isa(&SELECTIVE_SCAN);
}
