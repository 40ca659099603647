//! The contract's suite on the low-rank variants, on every instruction set.

use attention::Variant;
use attention::conformance::hold;
use attention::simd::Isa;
use attention_linear::{LIGHTSANS, LINFORMER, NYSTROM};

fn on_every_isa(variant: &Variant, settings: &[(&str, &str)]) {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let mut settings = settings.to_vec();
        settings.push(("isa", isa.name()));
        hold(variant, &settings).unwrap();
    }
}

#[test]
fn linformer() {
    hold(&LINFORMER, &[]).unwrap();
    on_every_isa(&LINFORMER, &[("rank", "5")]);
}

#[test]
fn lightsans() {
    hold(&LIGHTSANS, &[]).unwrap();
    on_every_isa(&LIGHTSANS, &[("interests", "20")]);
    on_every_isa(&LIGHTSANS, &[("interests", "3"), ("axis", "interest")]);
    on_every_isa(&LIGHTSANS, &[("axis", "query")]);
}

#[test]
fn nystrom() {
    hold(&NYSTROM, &[]).unwrap();
    on_every_isa(&NYSTROM, &[("landmarks", "4")]);
    on_every_isa(&NYSTROM, &[("landmarks", "20"), ("iterations", "3")]);
    on_every_isa(&NYSTROM, &[("iterations", "16")]);
}
