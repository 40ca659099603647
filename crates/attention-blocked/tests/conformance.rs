//! The contract's suite, on every variant of this crate and several settings of each.

use attention::Variant;
use attention::conformance;
use attention::variant::{Parameters, Value};
use attention_blocked::Isa;

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
fn blocked_conforms_on_every_instruction_set() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        conforms(
            &attention_blocked::BLOCKED,
            &[("isa", Value::Word(isa.name()))],
        );
    }
}

#[test]
fn sliding_window_conforms() {
    for window in [1, 16, 100] {
        conforms(
            &attention_blocked::SLIDING_WINDOW,
            &[("window", Value::Integer(window))],
        );
    }
}

#[test]
fn random_blocks_conform() {
    for (block, density) in [(64, 0.5), (16, 0.2), (1, 0.1), (100, 1.0)] {
        conforms(
            &attention_blocked::RANDOM_BLOCKS,
            &[
                ("block", Value::Integer(block)),
                ("density", Value::Float(density)),
            ],
        );
    }
}
