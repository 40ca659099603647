//! Command line of attnbench: reads arguments, calls the library crates, prints what they answer.

#![forbid(unsafe_code)]
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "doc comments of arguments are printed by --help as they stand"
)]

mod cli;
mod commands;
mod failure;
mod mask;
mod output;
mod page;
mod progress;
mod request;
mod study;
mod table;
mod tensors;
mod variant;

use std::process::ExitCode;

/// Counts live bytes, so that records hold the peak memory of a call.
#[global_allocator]
static ALLOCATOR: measure::CountingAllocator = measure::CountingAllocator;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
