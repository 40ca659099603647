//! Config to plan to run to records: sweeps of attention variants, resumable and reproducible.
//!
//! A [`Config`] (TOML, errors that point into it) declares a question as axes and variants. A [`Plan`]
//! lays out its cells, in groups that share inputs and threads, with what each will take. [`run()`] makes
//! the inputs, asks the oracle, gates every kernel, times those that passed in interleaved rounds, and
//! appends one [`Record`](record::Record) a cell. Killed and called again it continues.
//!
//! ```
//! use experiment::{Config, Context, Plan};
//!
//! let preset = experiment::experiments().iter().find(|e| e.name == "quickstart").expect("embedded");
//! let config = Config::parse("quickstart.toml", preset.text, &["problem.length=64".into()])?;
//! let plan = Plan::new(&config, &Context::detect(), None)?;
//! assert!(plan.groups.iter().all(|group| group.cells.len() > 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod config;
mod context;
mod data;
mod find;
mod hash;
mod identity;
mod metrics;
mod pass;
pub mod plan;
mod presets;
pub mod record;
pub mod run;
pub mod store;
pub mod study;
pub mod tensors;
mod units;
pub mod workload;

pub use config::{Config, ConfigError};
pub use context::{Context, Rates};
pub use data::{DataError, Opened};
pub use identity::CodeIdentity;
pub use metrics::{Direction, METRICS, Metric};
pub use pass::Pass;
pub use plan::{Filter, FilterError, Plan, PlanError};
pub use presets::{Preset, experiments, studies};
pub use run::{Event, Progress, RunError, RunOptions, RunSummary, run};
pub use store::{Manifest, RunDir, StoreError};
pub use workload::{Needs, WORKLOADS, Workload};
