//! The contract's suite on every variant and setting, on every instruction set.

use attention::Variant;
use attention::conformance::hold;
use attention::simd::Isa;
use attention_interest::{ADDITIVE, DIN, HSTU};

fn on_every_isa(variant: &Variant, settings: &[(&str, &str)]) {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let mut settings = settings.to_vec();
        settings.push(("isa", isa.name()));
        hold(variant, &settings).unwrap();
    }
}

#[test]
fn hstu() {
    on_every_isa(&HSTU, &[]);
    on_every_isa(&HSTU, &[("positions", "5")]);
    on_every_isa(&HSTU, &[("length", "200"), ("positions", "0")]);
}

#[test]
fn din() {
    on_every_isa(&DIN, &[("hidden-1", "20"), ("hidden-2", "9")]);
    hold(
        &DIN,
        &[
            ("hidden-1", "7"),
            ("hidden-2", "16"),
            ("weights", "softmax"),
        ],
    )
    .unwrap();
}

#[test]
fn additive() {
    on_every_isa(&ADDITIVE, &[("hidden", "20")]);
    hold(&ADDITIVE, &[("hidden", "9"), ("form", "pooling")]).unwrap();
}
