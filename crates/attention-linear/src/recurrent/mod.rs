//! Recurrences: a state that decays and is written to key by key, read by queries.
//!
//! O_i = q_i·S after the last key that query i sees, so that full masks, any alignment, padded and
//! jagged batches and grouped heads are one case. There is no normaliser.
//!
//! * `matrix/`: states `[D, Dv]` that are walked in chunks of 32 keys by matrix products
//! * `selective/`: states that decay entry by entry
//! * `ops.rs`: those products and what else runs on vectors
//! * `variants.rs`, `recurrence.rs`, `form.rs`: the variants and their plain recurrence in f64

mod form;
mod matrix;
mod ops;
mod recurrence;
mod selective;
mod shared;
mod support;
mod variants;

pub use selective::VARIANT as SELECTIVE_SCAN;
pub use variants::{DELTANET, GATED_DELTANET, GLA, RETNET};

/// C: keys of a chunk. With 32 the rows of a chunk (8 KiB each of Q, K, V and O at D = 64), its triangle
/// (4 KiB) and a state of 64 x 64 (16 KiB) stay in a first-level cache, and the work inside chunks is half
/// of that between them; 64 take a tenth longer, and solving grows with C².
const CHUNK: usize = 32;
