//! Interleaved rounds: every contestant once per round, in a shuffled order, until the medians are known.
//!
//! Timing one contestant after the other puts whatever drifts (frequency, temperature, neighbours) into
//! the comparison; a fixed order puts what each leaves in the caches into it. A new order in every round
//! hits all alike, and makes the samples of a round comparable one to one
//! ([`ratio_within_rounds`](crate::ratio_within_rounds)).

mod batch;
mod plan;
mod run;

pub use plan::{Contestant, Phase, RoundPlan, RoundProgress, Samples, Stop};
pub use run::run_rounds;
