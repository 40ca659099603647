//! Ours and other libraries' attention on the same cells, interleaved, behind one gate.
//!
//! `cargo run --release -p benches --bin peers` runs the cells of `benches/peers/cells.toml` and
//! writes `records.jsonl` (a line a cell and contender), `peers.md` (times, ratios, targets) and a
//! chart. What is fair, and how to add a peer, is in `benches/peers/README.md`.

// Not `forbid`: ndarray's `s!` allows it for itself.
#![deny(unsafe_code)]

mod cells;
mod chart;
mod contender;
mod elu_gradients;
mod field;
mod gate;
mod gradients;
mod inputs;
mod ours;
mod record;
mod rounds;
mod table;

use cells::Plan;
use clap::Parser;
use field::Field;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Times ours and the peers on the same cells.
#[derive(Debug, Parser)]
struct Arguments {
    /// The cells, who takes part, and the ratios aimed at.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/cells.toml"))]
    cells: PathBuf,
    /// These contenders alone, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// These groups of cells alone, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    group: Vec<String>,
    /// These numbers of threads alone, separated by commas.
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// Seconds of rounds for a cell; six rounds are run in any case.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Where records, table and chart go.
    #[arg(long, default_value = "runs/peers")]
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

fn compare(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let plan = plan(&arguments.cells)?;
    let known: Vec<&str> = plan.group.iter().map(|g| g.name.as_str()).collect();
    if let Some(name) = arguments
        .group
        .iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        return Err(format!("there is no group `{name}`; there are {}", known.join(", ")).into());
    }
    std::fs::create_dir_all(&arguments.out)?;
    let records = arguments.out.join("records.jsonl");
    if !arguments.again {
        run(arguments, &plan, &records)?;
    }
    let rows = record::read(&records)?;
    std::fs::write(arguments.out.join("peers.md"), table::page(&plan, &rows))?;
    chart::write(&rows, &arguments.out)?;
    println!("{}", arguments.out.join("peers.md").display());
    Ok(())
}

fn plan(path: &Path) -> Result<Plan, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

fn run(arguments: &Arguments, plan: &Plan, records: &Path) -> Result<(), Box<dyn Error>> {
    if is_realtime() {
        eprintln!(
            "warning: real-time scheduling lets a thread that spins keep another of its own library \
             off the CPU; run at normal priority, or some peers are several times too slow"
        );
    }
    let chosen = |name: &String, list: &[String]| list.is_empty() || list.contains(name);
    let mut file = File::create(records)?;
    let machine = serde_json::to_string_pretty(&measure::Machine::detect())?;
    std::fs::write(arguments.out.join("machine.json"), machine)?;
    let mut threads: Vec<usize> = plan.group.iter().flat_map(|g| g.threads.clone()).collect();
    threads.sort_unstable_by(|a, b| b.cmp(a));
    threads.dedup();
    threads.retain(|t| arguments.threads.is_empty() || arguments.threads.contains(t));
    for threads in threads {
        // Some libraries size their pools once: each count gets processes of its own.
        let mut field = Field::new(threads)?;
        let groups = plan
            .group
            .iter()
            .filter(|g| chosen(&g.name, &arguments.group));
        for group in groups.filter(|g| g.threads.contains(&threads)) {
            for spec in group.specs(threads) {
                let names = |list: &[String]| -> Vec<String> {
                    let kept = list.iter().filter(|n| chosen(n, &arguments.only));
                    kept.cloned().collect()
                };
                eprintln!("{spec}");
                let (ours, theirs) = (names(&group.ours), names(&group.peers));
                let rows = field.run(
                    &spec,
                    &ours,
                    &theirs,
                    &group.baseline,
                    plan.seed,
                    arguments.seconds,
                )?;
                for row in rows {
                    eprintln!("    {row}");
                    serde_json::to_writer(&mut file, &row)?;
                    file.write_all(b"\n")?;
                }
                file.flush()?;
            }
        }
    }
    Ok(())
}

/// Whether this process runs under SCHED_FIFO or SCHED_RR; children inherit it.
fn is_realtime() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the process, in parentheses, may hold anything; the policy is the 39th after it.
    let policy = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(38));
    matches!(policy, Some("1" | "2"))
}
