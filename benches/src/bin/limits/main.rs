//! How near the exact kernel comes to what the machine can do.
//!
//! `cargo run --release -p benches --bin limits -- [SECTION...]` measures the machine and the kernel in
//! turns, in one run, and prints each figure beside the one aimed at. Sections: peak, backward,
//! scaling, sparsity, decode, memory; all of them without arguments.

mod call;
mod machine;
mod memory;
mod sparsity;
mod speed;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: measure::CountingAllocator = measure::CountingAllocator;

type Fault = Box<dyn std::error::Error>;

/// A section's name and what it measures.
type Section = (&'static str, fn() -> Result<(), Fault>);

const SECTIONS: [Section; 6] = [
    ("peak", speed::forward),
    ("backward", speed::backward),
    ("scaling", speed::scaling),
    ("sparsity", sparsity::blocks),
    ("decode", speed::decode),
    ("memory", memory::long),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &String| SECTIONS.iter().any(|(section, _)| section == name);
    if let Some(name) = wanted.iter().find(|name| !known(name)) {
        let names = SECTIONS.map(|(name, _)| name).join(", ");
        eprintln!("there is no section `{name}`; there are {names}");
        return ExitCode::FAILURE;
    }
    for (name, run) in SECTIONS {
        let asked = wanted.is_empty() || wanted.iter().any(|w| w == name);
        if asked && let Err(fault) = run() {
            eprintln!("{name}: {fault}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// A figure with the bound it is held to.
enum Aim {
    AtLeast(f64),
    AtMost(f64),
    None,
}

/// Prints one line of a section.
fn line(what: &str, figure: f64, aim: &Aim, note: &str) {
    let (met, bound) = match aim {
        Aim::AtLeast(bound) => (figure >= *bound, format!("≥ {bound:.3}")),
        Aim::AtMost(bound) => (figure <= *bound, format!("≤ {bound:.3}")),
        Aim::None => (true, String::new()),
    };
    let verdict = match (met, bound.is_empty()) {
        (_, true) => "",
        (true, _) => "met",
        (false, _) => "MISSED",
    };
    println!("  {what:<44} {figure:>7.3}  {bound:<8} {verdict:<7} {note}");
}
