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
        unit: delta && parameters.word("keys") == "unit",
    };
    Ok(Box::new(Recurrence {
        name: variant.name,
        rule,
    }))
}
