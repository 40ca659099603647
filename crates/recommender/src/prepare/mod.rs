//! From a log to what is trained on and what is asked: splits without leakage, and histories with their targets.

mod cases;
mod error;
mod history;
mod holdout;
mod jagged;
mod k_core;
mod leakage;
mod source;
mod split;

pub use cases::{Case, Cases, Part, Targets};
pub use error::PrepareError;
pub use history::History;
pub use holdout::Holdout;
pub use jagged::JaggedBatch;
pub use k_core::k_core;
pub use leakage::Leakage;
pub use source::{Cache, LogSource};
pub use split::Split;
