//! The contract's suite, on every variant of this crate and several settings of each.

use attention::Variant;
use attention::conformance::hold;
use attention::variant::{Kind, Parameters, Value};
use attention_blocked::{BLOCKED, BLOCKED_BF16, BLOCKED_INT8, Isa, RANDOM_BLOCKS, SLIDING_WINDOW};

#[test]
fn blocked_conforms_on_every_instruction_set() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for degree in ["3", "4", "5"] {
            hold(&BLOCKED, &[("isa", isa.name()), ("exp-degree", degree)]).unwrap();
        }
    }
}

#[test]
fn sliding_window_conforms() {
    for window in ["1", "16", "100"] {
        hold(&SLIDING_WINDOW, &[("window", window)]).unwrap();
    }
}

#[test]
fn random_blocks_conform() {
    for (block, density) in [("64", "0.5"), ("16", "0.2"), ("1", "0.1"), ("100", "1")] {
        hold(&RANDOM_BLOCKS, &[("block", block), ("density", density)]).unwrap();
    }
}

#[test]
fn blocked_bf16_conforms_on_every_instruction_set() {
    for isa in available(&BLOCKED_BF16) {
        hold(&BLOCKED_BF16, &[("isa", isa)]).unwrap();
    }
}

#[test]
fn blocked_int8_conforms_on_every_instruction_set() {
    for isa in available(&BLOCKED_INT8) {
        hold(&BLOCKED_INT8, &[("isa", isa)]).unwrap();
    }
}

/// The instruction sets of a variant that this machine runs.
fn available(variant: &Variant) -> Vec<&'static str> {
    let Kind::Word(words) = variant.parameters[0].kind else {
        unreachable!("the first parameter is `isa`")
    };
    let runs = |isa: &&&'static str| {
        let mut parameters = Parameters::defaults(variant.parameters);
        parameters.set("isa", Value::Word(isa));
        (variant.build)(&parameters).is_ok()
    };
    words.iter().filter(runs).copied().collect()
}
