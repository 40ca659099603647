//! Runs a config, or an embedded experiment by name: `cargo run --release --example sweep -- quickstart [key=value ...]`.

use experiment::{Config, Context, Event, Plan, RunOptions, experiments, run};
use std::path::Path;

#[global_allocator]
static ALLOCATOR: measure::CountingAllocator = measure::CountingAllocator;

fn main() -> miette::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, sets) = arguments
        .split_first()
        .ok_or_else(|| miette::miette!("give a config or a name"))?;
    let config = match experiments().iter().find(|e| e.name == name) {
        Some(preset) => Config::parse(preset.name, preset.text, sets)?,
        None => Config::load(Path::new(name), sets)?,
    };
    let mut context = Context::detect();
    let plan = Plan::new(&config, &context, None).map_err(|e| miette::miette!("{e}"))?;
    println!(
        "{} groups, {} cells, about {:.0} s",
        plan.groups.len(),
        plan.cells(),
        plan.seconds()
    );
    let started = std::time::Instant::now();
    let mut progress = |event: &Event<'_>| match event {
        Event::Group { title, left, .. } => {
            println!(
                "{:6.1} s  {title} ({:.0} s left)",
                started.elapsed().as_secs_f64(),
                left.as_secs_f64()
            );
        }
        Event::Cell { record } => {
            let time = record.latency.as_ref().map_or_else(String::new, |l| {
                let speedup = l.speedup.as_ref().map_or(1.0, |s| s.median);
                format!(
                    "{:9.3} ms {:6.2}x {:7.1} GFLOP/s, {} samples",
                    l.median_ms,
                    speedup,
                    l.gflops,
                    l.samples_ns.len()
                )
            });
            let error = record
                .accuracy
                .as_ref()
                .map_or(f64::NAN, |a| a.total.relative_frobenius);
            let reason = record.reason.as_deref().unwrap_or_default();
            println!(
                "    {:28} error {error:8.1e} {time} {reason}",
                record.variant.label
            );
        }
        _ => {}
    };
    let done = run(&plan, &mut context, &RunOptions::default(), &mut progress)
        .map_err(|e| miette::miette!("{e}"))?;
    println!(
        "{:6.1} s  {}",
        started.elapsed().as_secs_f64(),
        done.dir.display()
    );
    Ok(())
}
