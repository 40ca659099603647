//! `list`: what there is to choose from, straight from the registries.

mod experiments;
mod metrics;
mod studies;
mod variants;
mod workloads;

use crate::failure::Failure;
use crate::output;
use clap::{Args, ValueEnum};

/// List what there is to choose from
#[derive(Debug, Args)]
pub(crate) struct List {
    /// What to list
    #[arg(value_enum)]
    what: What,
    /// Print everything known of each entry, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Attention variants: parameters, what each supports, and why not the rest
    Variants,
    /// What Q, K and V can be made of
    Workloads,
    /// The columns of records and summaries
    Metrics,
    /// Experiments that come with the program: `attnbench run NAME`
    Experiments,
    /// Studies of recommenders that come with the program: `attnbench train NAME`
    Studies,
}

impl List {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.json {
            return output::json(&match self.what {
                What::Variants => variants::json()?,
                What::Workloads => workloads::json(),
                What::Metrics => metrics::json(),
                What::Experiments => experiments::json()?,
                What::Studies => studies::json()?,
            });
        }
        match self.what {
            What::Variants => output::line(variants::text()?),
            What::Workloads => output::line(workloads::text()),
            What::Metrics => output::line(metrics::table()),
            What::Experiments => output::line(experiments::table()?),
            What::Studies => output::line(studies::table()?),
        }
    }
}
