//! Feature maps: O = φ(Q)(φ(K)ᵀV) over a normaliser, by one engine for all maps.
//!
//! Full masks: one state of all keys answers every query. Causal masks: chunks of C = 64 are
//! scanned, state before the chunk plus what lies inside it. Where a problem has too few heads to
//! feed several workers, histories are cut: partial states are made side by side, added up in
//! order, and each run of queries begins with the one that it needs.
//!
//! * `map.rs`: what a map is; `maps/`: the maps
//! * `variant.rs`: from a map to an attention variant
//! * `plan.rs`, `engine.rs`: tasks, and a forward call
//! * `scan.rs`, `state.rs`, `units.rs`: a task, the state that it carries, and the units of features
//!   that are kept as logarithms
//! * `backward/`: gradients; `prepared.rs`: a state kept between calls
//! * `quadratic/`: weights of second degree, which have an engine of their own
//! * `kernels/`, `sheet.rs`: all that touches vectors or other tasks' tensors

mod backward;
mod engine;
mod kernels;
mod map;
pub(crate) mod maps;
mod plan;
mod prepared;
pub(crate) mod quadratic;
mod scan;
mod sheet;
mod state;
mod units;
mod variant;
