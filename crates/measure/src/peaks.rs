//! What the machine can do at best: multiply-adds per second, bytes per second.
//!
//! Measured, not looked up: clocks vary with load and heat, and a virtual machine has what its host
//! leaves it. Measure in the same run as the times that are set against it, before and after
//! ([`warnings::peak_drift`](crate::warnings::peak_drift)).

mod bandwidth;
mod dot;
mod fma;
mod together;

pub use bandwidth::{Bandwidth, memory_bandwidth};
pub use dot::{bf16_peak, int8_peak};
pub use fma::{Peak, fma_peak};
