//! ReBased: squares of products of normalised projections, of Aksenov et al. 2024.

use super::attention::Quadratic;
use super::rule::{Polynomial, Rule};
use crate::feature::variant::ISA;
use ::attention::variant::{Family, Kind, Parameter, Value, Variant};

/// Attention with weights (y(q)·y(k))² over their sum, y(x) = γ∘LN(xW) + β.
///
/// All is learned and its own for each key head: `projection` W `[Hkv, D, r]` to r = `dim` entries,
/// `gamma` and `beta` `[Hkv, r]`; with `dim` = 0 there is no W, and r = D. LN subtracts the mean of the
/// r entries and divides by √(variance + 1e-5). The problem's `scale` has no effect. A row's sum below
/// 1e-10 counts as 1e-10.
///
/// Source: Aksenov et al., Linear Transformers with Learnable Kernel Functions are Better In-Context
/// Models, ACL 2024, section 4 and equation 8. Cost: O(N·(D·r + r²·Dv)) time, state r²/2·(Dv + 1).
pub static VARIANT: Variant = Variant {
    name: "rebased",
    family: Family::Linear,
    summary: "ReBased: squared products of learned, normalised projections; ignores the scale",
    time: "O(N·r²·D)",
    state: "r·(r + 1)/2·(Dv + 1)",
    source: "Aksenov et al., Linear Transformers with Learnable Kernel Functions, ACL 2024, eq. 8",
    parameters: &[
        Parameter {
            name: "dim",
            kind: Kind::Integer { min: 0, max: 64 },
            default: Value::Integer(16),
            summary: "r, entries that tokens are projected to; 0 leaves all D without a projection",
        },
        ISA,
    ],
    build: |parameters| {
        let rule = Rule {
            name: VARIANT.name,
            dim: parameters.integer("dim"),
            window: 0,
            polynomial: Polynomial {
                first: false,
                second: 1.0,
            },
            normalises: true,
        };
        Quadratic::build(parameters, rule)
    },
};
