//! The variants whose state is a matrix, as the registry lists them.

use super::matrix::{Decays, Rule};
use super::recurrence::Recurrence;
use super::support;
use attention::simd::Isa;
use attention::variant::Parameters;
use attention::{Attention, Family, Result, Variant};

/// Retention: S_t = γ_h·S_{t-1} + k_t v_tᵀ, O_i = scale·q_i·S, γ_h = 1 - 2^(-5 - h) for key head h.
///
/// Rotations of Q and K (xPos) and the norm over heads are the model's; there is no normaliser.
///
/// Source: Sun et al., Retentive Network, 2023, equations 5 to 8. Cost: O(N·D·Dv) time, state D·Dv.
pub static RETNET: Variant = Variant {
    name: "retnet",
    family: Family::Linear,
    summary: "retention: a state with one fixed decay a head, no normaliser",
    time: "O(N·D²)",
    state: "D·Dv",
    source: "Sun et al., Retentive Network, 2023, eq. 5-8",
    parameters: &[support::ISA],
    build: |parameters: &Parameters| build(&RETNET, parameters, Decays::Heads, false),
};

/// Gated linear attention: S_t = Diag(exp g_t)·S_{t-1} + k_t v_tᵀ, O_i = scale·q_i·S.
///
/// The side input `log_decay` `[B, Hkv, Nk, D]` is g <= 0; no normaliser and no output gate.
///
/// Source: Yang et al., Gated Linear Attention Transformers, ICML 2024, equation 3 and section 4
/// (chunks within chunks). Cost: O(N·D·Dv) time, state D·Dv.
pub static GLA: Variant = Variant {
    name: "gla",
    family: Family::Linear,
    summary: "gated linear attention: a state whose rows decay by a side input, no normaliser",
    time: "O(N·D²)",
    state: "D·Dv",
    source: "Yang et al., Gated Linear Attention Transformers, ICML 2024, eq. 3, section 4",
    parameters: &[support::ISA],
    build: |parameters: &Parameters| build(&GLA, parameters, Decays::Lanes, false),
};

/// The delta rule: S_t = S_{t-1} - β_t k_t(k_tᵀ S_{t-1}) + β_t k_t v_tᵀ, O_i = scale·q_i·S.
///
/// Keys and queries are brought to unit length, or β|k|² beyond 2 would let the state grow without
/// bound. The side input `beta` `[B, Hkv, Nk]` is β in [0, 2]: how far the value that a key brings back
/// moves to its own.
///
/// Source: Schlag et al. 2021, equation 24; Yang et al., Parallelizing Linear Transformers with the
/// Delta Rule, NeurIPS 2024, equations 8 to 11. Cost: O(N·D·Dv) time, state D·Dv.
pub static DELTANET: Variant = Variant {
    name: "deltanet",
    family: Family::Linear,
    summary: "delta rule: each key replaces the value that it brings back from the state",
    time: "O(N·D²)",
    state: "D·Dv",
    source: "Yang et al., Parallelizing Linear Transformers with the Delta Rule, NeurIPS 2024, eq. 8-11",
    parameters: &[support::ISA],
    build: |parameters: &Parameters| build(&DELTANET, parameters, Decays::None, true),
};

/// The gated delta rule: [`DELTANET`] whose state is first multiplied with exp(g_t).
///
/// Side inputs `beta` `[B, Hkv, Nk]` in [0, 2] and `log_decay` `[B, Hkv, Nk]`, g <= 0.
///
/// Source: Yang et al., Gated Delta Networks, ICLR 2025, equation 10 and section 3.3. Cost: O(N·D·Dv)
/// time, state D·Dv.
pub static GATED_DELTANET: Variant = Variant {
    name: "gated-deltanet",
    family: Family::Linear,
    summary: "delta rule on a state that decays by a side input",
    time: "O(N·D²)",
    state: "D·Dv",
    source: "Yang et al., Gated Delta Networks, ICLR 2025, eq. 10, section 3.3",
    parameters: &[support::ISA],
    build: |parameters: &Parameters| build(&GATED_DELTANET, parameters, Decays::Keys, true),
};

fn build(
    variant: &Variant,
    parameters: &Parameters,
    decays: Decays,
    delta: bool,
) -> Result<Box<dyn Attention>> {
    let rule = Rule {
        isa: Isa::named(parameters.word("isa"))?,
        decays,
        delta,
    };
    Ok(Box::new(Recurrence {
        name: variant.name,
        rule,
    }))
}
