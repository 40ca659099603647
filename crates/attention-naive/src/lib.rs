//! Exact attention that materialises the scores.
//!
//! [`NAIVE`] is the definition in loops, forward and backward: what the other kernels are read
//! against. [`NAIVE_GEMM`] does the same two products by the gemm crate: the honest baseline for
//! time. Both hold S as a whole, `[B, H, Nq, Nk]`, as the textbook form does.

mod gemm;
mod heads;
mod readable;
mod scores;

pub use gemm::{NAIVE_GEMM, product};
pub use readable::NAIVE;
