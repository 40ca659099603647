//! Records to findings, charts and an offline page; runs nothing.
#![forbid(unsafe_code)]

mod chart;
mod context;
mod error;
mod files;
mod frontier;
mod numbers;
mod order;
mod settings;
mod speedup;

pub use chart::{Chart, charts};
pub use context::Context;
pub use error::ReportError;
