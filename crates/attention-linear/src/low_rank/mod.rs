//! Low rank: a few rows K̂ and V̂ stand for all keys and values of a history.
//!
//! O = softmax(scale·Q·K̂ᵀ)·V̂ for all variants; they differ in where K̂ `[m, D]` and V̂ `[m, Dv]` come
//! from, which costs O(N·m·D), as the answers do. All queries of a history share them, so that there is
//! no causal form.
//!
//! * `read.rs`, `read_back.rs`: from K̂ and V̂ to O, and from dO to their gradients
//! * `across.rs`: the softmax of `read.rs` over queries instead of rows of K̂
//! * `pool.rs`, `pool_back.rs`: sums of tokens under a softmax over tokens
//! * `summary.rs`, `pieces.rs`, `memory.rs`: what all of them work with
//! * `kernels/`: the vector loops that all of it is built of

#![allow(unsafe_code)]

mod across;
mod form;
mod inverse;
mod kernels;
mod lightsans;
mod linformer;
mod memory;
mod nystrom;
mod pieces;
mod pool;
mod pool_back;
mod prepared;
mod read;
mod read_back;
mod summary;

pub use lightsans::VARIANT as LIGHTSANS;
pub use linformer::VARIANT as LINFORMER;
pub use nystrom::VARIANT as NYSTROM;

use attention::variant::{Kind, Parameter, Value};
use attention::{Capabilities, Feature};

/// The instruction set to run on.
pub(crate) const ISA: Parameter = Parameter {
    name: "isa",
    kind: Kind::Word(&["auto", "avx512", "avx2", "portable"]),
    default: Value::Word("auto"),
    summary: "the instruction set to run on; auto takes the best there is",
};

/// Error of a sum of like terms in f32 by their number: 1.2e-5 was seen of 1024.
const SUM: f64 = 2e-8;

const SHARED: &str =
    "all queries of a history read the same few rows, which stand for all its keys";

/// What a variant of the family supports, with the reason why it has no causal form.
fn capabilities(name: &'static str, no_causal_form: &'static str) -> Capabilities {
    Capabilities::all(name, false)
        .without(Feature::Causal, no_causal_form)
        .without(Feature::Window, SHARED)
        .without(Feature::DenseMask, SHARED)
        .without(Feature::BlockMask, SHARED)
        .without(
            Feature::Bias,
            "scores are those of summaries of keys, not of keys, which a bias is for",
        )
        .without(
            Feature::LogSumExp,
            "its weights are no softmax over the keys, so partial results do not merge by L",
        )
        .without(
            Feature::Dropout,
            "weights of single keys are never formed, so none can be dropped",
        )
}
