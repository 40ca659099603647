//! Full-ranking evaluation: how high a ranker puts what a user chose next, among everything they could have chosen.
//!
//! [`evaluate`] ranks the whole catalogue for every [`Case`](crate::prepare::Case) and keeps the rank of each target;
//! every metric, interval and test is computed from these ranks afterwards. Each result carries its [`Protocol`].

mod bootstrap;
mod config;
mod error;
mod evaluation;
mod metric;
mod paired;
mod protocol;
mod ranker;
mod ranking;
mod run;
mod sampling;

pub use bootstrap::{Bootstrap, Estimate};
pub use config::{Candidates, EvaluateConfig, Sampling, Seen};
pub use error::EvaluateError;
pub use evaluation::{Evaluation, Summary};
pub use metric::{Metric, MetricError};
pub use paired::{PairedTest, paired_test};
pub use protocol::Protocol;
pub use ranker::{Ranker, RankerError};
pub use ranking::top_k;
pub use run::evaluate;
