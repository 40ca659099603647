//! Based: the exponential's Taylor polynomial far away and itself in a window, of Arora et al. 2024.

use super::attention::{Quadratic, whole_blocks};
use super::rule::{Polynomial, Rule};
use crate::feature::variant::ISA;
use ::attention::variant::{Family, Kind, Parameter, Value, Variant};

/// Attention with weights 1 + s + s²/2, s = scale·(qW)·(kW), and exp(scale·q·k) in a window, over the
/// sum of both.
///
/// `projection` W `[Hkv, D, r]` is learned, each key head's own, and projects queries and keys to
/// r = `dim` entries; with `dim` = 0 there is no W, and r = D. The window moves by blocks of 64 keys:
/// a query whose last key lies in block c sees the keys of the blocks c - `window`/64 + 1 to c by the
/// exponential; with `window` = 0 none. Both parts are brought to the same units, so that no score
/// leaves the range of f32.
///
/// Source: Arora et al., Simple Linear Attention Language Models Balance the Recall-Throughput Tradeoff,
/// ICML 2024, sections 4.1 and 4.2 (windows of 64, Taylor features of dimension 16). Cost:
/// O(N·(D·r + r²·Dv + window·D)) time, state (r²/2 + 3r/2 + 1)·(Dv + 1).
pub static VARIANT: Variant = Variant {
    name: "based",
    family: Family::Linear,
    summary: "softmax in a window, and the exponential's Taylor polynomial of projections before it",
    time: "O(N·(r² + window)·D)",
    state: "(r²/2 + 3r/2 + 1)·(Dv + 1) + 2·window·D",
    source: "Arora et al., Simple Linear Attention Language Models, ICML 2024, sections 4.1 and 4.2",
    parameters: &[
        Parameter {
            name: "dim",
            kind: Kind::Integer { min: 0, max: 64 },
            default: Value::Integer(16),
            summary: "r, entries that tokens are projected to; 0 leaves all D without a projection",
        },
        Parameter {
            name: "window",
            kind: Kind::Integer { min: 0, max: 1024 },
            default: Value::Integer(64),
            summary: "keys that are weighed by the exponential, a multiple of 64; 0 for none",
        },
        ISA,
    ],
    build: |parameters| {
        let rule = Rule {
            name: VARIANT.name,
            dim: parameters.integer("dim"),
            window: whole_blocks(parameters.integer("window"))?,
            polynomial: Polynomial {
                first: true,
                second: 0.5,
            },
            normalises: false,
        };
        Quadratic::build(parameters, rule)
    },
};
