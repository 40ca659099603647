//! `list`: what there is to choose from, straight from the registries.

mod variants;

use crate::failure::Failure;
use crate::output;
use clap::{Args, ValueEnum};

/// List what there is to choose from
///
/// variants: names for configs and `apply`, with parameters, what each supports, and why not the rest.
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
    Variants,
}

impl List {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match (self.what, self.json) {
            (What::Variants, false) => output::line(variants::text()?),
            (What::Variants, true) => output::json(&variants::json()?),
        }
    }
}
