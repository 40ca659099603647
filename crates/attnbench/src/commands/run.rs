//! `run`: an experiment from config to report.

use crate::failure::Failure;
use crate::page;
use crate::progress::Teller;
use crate::request::{self, Request};
use clap::Args;
use experiment::{Context, Plan, RunDir, RunOptions};
use std::path::PathBuf;

/// Run an experiment: measure every cell, draw the charts, write the report
///
/// Results go to runs/<experiment>/<identity>/ unless --out says otherwise: manifest.json, records.jsonl,
/// summary.csv, charts/ and report.html. The identity is a hash of config, data, code and machine, so that the
/// same call finds its own run: interrupted (Ctrl-C, kill) and called again it continues, losing at most the
/// group in flight. A cell that cannot be measured is a row with the reason, and no failure of the run.
#[derive(Debug, Args)]
#[command(after_long_help = request::keys())]
pub(crate) struct Run {
    #[command(flatten)]
    request: Request,
    /// Where results go
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Set old records aside and measure all anew
    #[arg(long)]
    fresh: bool,
}

impl Run {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (plan, context) = self.request.plan()?;
        let options = RunOptions {
            out: self.out,
            fresh: self.fresh,
        };
        measure_and_present(&plan, context, &options)
    }
}

/// Runs a plan and presents what came of it.
pub(super) fn measure_and_present(
    plan: &Plan,
    mut context: Context,
    options: &RunOptions,
) -> Result<(), Failure> {
    let done = experiment::run(plan, &mut context, options, &mut Teller::new())?;
    page::present(&RunDir::open(&done.dir)?)
}
