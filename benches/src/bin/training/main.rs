//! Training and evaluation of SASRec, ours and PyTorch's, interleaved, behind one gate.
//!
//! `cargo run --release -p benches --bin training` times a step on full-length histories, where skipping padding
//! gives nothing, a step on ml-1m's real lengths, and the full ranking of ml-1m, where `ATTNBENCH_DATA` names a
//! folder that has it; and counts the memory of a step. It writes `records.jsonl`, `training.md`, a chart and
//! `machine.json`. What is fair is in `benches/peers/README.md`.

#![forbid(unsafe_code)]

mod cell;
mod chart;
mod contender;
mod field;
mod ours;
mod page;
mod record;
mod theirs;

use clap::Parser;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: measure::CountingAllocator = measure::CountingAllocator;

type Failure = Box<dyn std::error::Error>;

/// Times training and evaluation, ours and PyTorch's.
#[derive(Debug, Parser)]
struct Arguments {
    /// These cells alone, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    cell: Vec<String>,
    /// Threads of each contender.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Seconds of rounds for a cell.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Where records, table and chart go.
    #[arg(long, default_value = "runs/training")]
    out: PathBuf,
    /// Run nothing: write table and chart again from the records that are there.
    #[arg(long)]
    again: bool,
}

fn main() -> ExitCode {
    match compare(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<(), Failure> {
    std::fs::create_dir_all(&arguments.out)?;
    let records = arguments.out.join("records.jsonl");
    if !arguments.again {
        let machine = serde_json::to_string_pretty(&measure::Machine::detect())?;
        std::fs::write(arguments.out.join("machine.json"), machine)?;
        let mut file = File::create(&records)?;
        for cell in cell::cells(&arguments.cell)? {
            eprintln!("{}", cell.name);
            for row in field::run(&cell, arguments.threads, arguments.seconds)? {
                eprintln!("    {row}");
                serde_json::to_writer(&mut file, &row)?;
                file.write_all(b"\n")?;
            }
        }
    }
    let rows = record::read(&records)?;
    std::fs::write(arguments.out.join("training.md"), page::page(&rows))?;
    chart::write(&rows, &arguments.out)?;
    println!("{}", arguments.out.join("training.md").display());
    Ok(())
}
