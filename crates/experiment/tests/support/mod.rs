//! A sweep of a few milliseconds.
#![allow(dead_code)]

use experiment::record::Record;
use experiment::{Config, Context, Filter, Plan, RunOptions, RunSummary, run};
use std::path::Path;

/// Two groups of each workload, exact and approximate variants, one of which is swept.
pub(crate) const TINY: &str = r#"
name = "tiny"
seed = 3
baseline = "naive-gemm"
[inputs]
workload = ["gaussian", "clusters"]
[problem]
length = [24, 40]
head_dimension = 8
heads = 2
threads = 1
[variants.naive-gemm]
[variants.blocked]
[variants.sliding-window]
window = [4, "N/4"]
[accuracy]
rows = 16
[time]
warmup = 0
min_rounds = 1
max_rounds = 2
seconds_per_group = 0.01
"#;

pub(crate) fn config(sets: &[&str]) -> Config {
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
    Config::parse("tiny.toml", TINY, &sets).unwrap()
}

/// A context whose peaks need not be measured.
pub(crate) fn context(threads: &[usize]) -> Context {
    let mut context = Context::detect();
    for &threads in threads {
        context.rates.push(experiment::Rates {
            threads,
            peak: measure::Peak {
                gflops: 50.0,
                isa: "x".into(),
                threads,
            },
            bf16: None,
            int8: None,
            bandwidth: measure::Bandwidth {
                read_gb_s: 10.0,
                triad_gb_s: 10.0,
                bytes: 1,
                threads,
            },
        });
    }
    context
}

pub(crate) fn plan(config: &Config, filter: Option<&str>) -> Plan {
    let filter: Option<Filter> = filter.map(|f| f.parse().unwrap());
    Plan::new(config, &context(&[]), filter.as_ref()).unwrap()
}

pub(crate) fn run_in(dir: &Path, plan: &Plan) -> RunSummary {
    let options = RunOptions {
        out: Some(dir.into()),
        fresh: false,
    };
    run(
        plan,
        &mut context(&plan.config.problem.threads),
        &options,
        &mut (),
    )
    .unwrap()
}

/// A record without what is timed.
pub(crate) fn untimed(record: &Record) -> Record {
    Record {
        latency: None,
        memory: None,
        warnings: Vec::new(),
        ..record.clone()
    }
}

pub(crate) fn untimed_lines(records: &[Record]) -> String {
    records
        .iter()
        .map(|r| serde_json::to_string(&untimed(r)).unwrap() + "\n")
        .collect()
}
