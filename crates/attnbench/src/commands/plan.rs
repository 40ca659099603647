//! `plan`: what a run would do.

use crate::failure::Failure;
use crate::output;
use crate::progress::{duration, status};
use crate::request::{self, Request};
use crate::table::Table;
use clap::Args;
use experiment::plan::{Cell, Estimate, Group, Verdict};
use experiment::run::default_dir;
use std::collections::BTreeMap;
use std::time::Duration;

/// Show what a run would do: groups, memory, time, and what would be skipped and why
///
/// Groups are timed together, a variant a cell. Memory is that of the largest cell: tensors, working memory,
/// oracle. Times are orders of magnitude, from cost models and the machine's multiply-add peak. Runs nothing and
/// writes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = request::keys())]
pub(crate) struct Plan {
    #[command(flatten)]
    request: Request,
    /// List every cell too
    #[arg(long)]
    cells: bool,
}

impl Plan {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let (plan, _) = self.request.plan()?;
        let axes = &plan.config.problem;
        if !plan.config.question.trim().is_empty() {
            output::line(format_args!("{}\n", plan.config.question.trim()))?;
        }
        let mut groups = Table::new(&[">#", "group", ">cells", ">skipped", ">memory", ">time"]);
        for (number, group) in plan.groups.iter().enumerate() {
            groups.row([
                (number + 1).to_string(),
                group.spec.title(axes),
                group.cells.len().to_string(),
                skipped(group).count().to_string(),
                output::bytes(group.cells.iter().map(memory).max().unwrap_or(0)),
                seconds(group.seconds),
            ]);
        }
        output::line(groups)?;
        if self.cells {
            output::line(format_args!("\n{}", cells(&plan.groups)))?;
        }
        let reasons = reasons(&plan.groups);
        if !reasons.is_empty() {
            output::line(format_args!("\nSkipped:\n{}", reasons.join("\n")))?;
        }
        let left_out: usize = plan.groups.iter().map(|g| skipped(g).count()).sum();
        output::line(format_args!(
            "\n{} groups, {} cells, {left_out} skipped; {}; results in {}",
            plan.groups.len(),
            plan.cells(),
            seconds(plan.seconds()),
            default_dir(&plan).display()
        ))
    }
}

fn skipped(group: &Group) -> impl Iterator<Item = (&Cell, &'static str, &str)> {
    group.cells.iter().filter_map(|cell| match &cell.verdict {
        Verdict::Run => None,
        Verdict::Skip { status: s, reason } => {
            Some((cell, status(*s).unwrap_or("skipped"), reason.as_str()))
        }
    })
}

/// Why cells are skipped, equal reasons together.
fn reasons(groups: &[Group]) -> Vec<String> {
    let mut places: BTreeMap<(&str, &str, &str), Vec<usize>> = BTreeMap::new();
    for (number, group) in groups.iter().enumerate() {
        for (cell, status, reason) in skipped(group) {
            let key = (cell.label.as_str(), status, reason);
            places.entry(key).or_default().push(number + 1);
        }
    }
    let line = |((label, status, reason), numbers): (_, Vec<usize>)| {
        let numbers: Vec<_> = numbers.iter().map(usize::to_string).collect();
        format!(
            "  {label}: {status}, {reason} (group {})",
            numbers.join(", ")
        )
    };
    places.into_iter().map(line).collect()
}

fn cells(groups: &[Group]) -> Table {
    let headings = [
        ">#",
        "variant",
        ">memory",
        ">one call",
        ">mask sparsity",
        "verdict",
    ];
    let mut table = Table::new(&headings);
    for (number, group) in groups.iter().enumerate() {
        for cell in &group.cells {
            let verdict = match &cell.verdict {
                Verdict::Run => "runs",
                Verdict::Skip { status: s, .. } => status(*s).unwrap_or("skipped"),
            };
            table.row([
                (number + 1).to_string(),
                cell.label.clone(),
                output::bytes(memory(cell)),
                format!("{:.3} ms", cell.estimate.seconds * 1e3),
                format!("{:.3}", cell.mask_sparsity),
                verdict.into(),
            ]);
        }
    }
    table
}

fn memory(cell: &Cell) -> u64 {
    let Estimate {
        scratch_bytes,
        tensor_bytes,
        oracle_bytes,
        ..
    } = cell.estimate;
    scratch_bytes
        .saturating_add(tensor_bytes)
        .saturating_add(oracle_bytes)
}

fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
