//! The contract's suite on HSTU's attention.

use attention::conformance::hold;
use attention::simd::Isa;
use attention_interest::HSTU;

fn on_every_isa(settings: &[(&str, &str)]) {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let mut settings = settings.to_vec();
        settings.push(("isa", isa.name()));
        hold(&HSTU, &settings).unwrap();
    }
}

#[test]
fn with_a_bias_by_position() {
    on_every_isa(&[]);
    on_every_isa(&[("positions", "5")]);
}

#[test]
fn divided_by_a_length() {
    on_every_isa(&[("length", "200"), ("positions", "0")]);
}
