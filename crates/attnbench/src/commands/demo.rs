//! `demo`: the quickest embedded experiment.

use super::run::measure_and_present;
use crate::failure::Failure;
use crate::output;
use crate::request;
use clap::Args;
use experiment::{RunOptions, experiments};
use std::path::PathBuf;

/// See it work: a small sweep on simulated data, with a report, in a minute or two
///
/// Runs the first experiment of `attnbench list experiments` and says which variant to use when. It is the same
/// as `attnbench run` with that name, and continues or reuses what an earlier call measured.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where results go [default: runs/<experiment>/<identity>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Override a value of the experiment, as for `attnbench run`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let quickest = experiments()
            .first()
            .ok_or_else(|| Failure::work("no experiment is embedded in this program", None))?;
        let config = request::parse(quickest, &self.sets)?;
        output::note(config.question.trim());
        let (plan, context) = request::plan(&config, None)?;
        let options = RunOptions {
            out: self.out,
            fresh: false,
        };
        measure_and_present(&plan, context, &options)
    }
}
