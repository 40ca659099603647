//! Criterion benches of each variant crate on the same cells.
