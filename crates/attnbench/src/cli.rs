//! The command line: one subcommand a file in [`crate::commands`].

use crate::commands::{
    apply, demo, doctor, evaluate, export, list, plan, recommend, report, run, train, verify,
};
use crate::failure::Failure;
use crate::output;
use clap::{CommandFactory, Parser, Subcommand};

/// Which attention should a recommender use for user histories of this length and this sparsity, what
/// accuracy does it cost, and what latency does it buy?
///
/// Answers are written to stdout, everything else to stderr.
#[derive(Debug, Parser)]
#[command(name = "attnbench", version, disable_help_subcommand = true, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER: &str = "\
Try first:
  attnbench demo             a small sweep on simulated data, a report, and which variant to use when
  attnbench list variants    what can be compared, and what each can do
  attnbench doctor           is this machine fit for measuring?

Exit codes: 0 all went well, 1 the work failed, 2 the request was wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Run(run::Run),
    Plan(plan::Plan),
    Report(report::Report),
    Train(train::Train),
    Evaluate(evaluate::Evaluate),
    Recommend(recommend::Recommend),
    Export(export::Export),
    List(list::List),
    Apply(Box<apply::Apply>),
    Verify(verify::Verify),
    Doctor(doctor::Doctor),
}

/// Does what the arguments ask.
pub(crate) fn run() -> Result<(), Failure> {
    match Cli::parse().command {
        None => output::line(Cli::command().render_help().to_string().trim_end()),
        Some(Command::Demo(demo)) => demo.run(),
        Some(Command::Run(run)) => run.run(),
        Some(Command::Plan(plan)) => plan.run(),
        Some(Command::Report(report)) => report.run(),
        Some(Command::Train(train)) => train.run(),
        Some(Command::Evaluate(evaluate)) => evaluate.run(),
        Some(Command::Recommend(recommend)) => recommend.run(),
        Some(Command::Export(export)) => export.run(),
        Some(Command::List(list)) => list.run(),
        Some(Command::Apply(apply)) => apply.run(),
        Some(Command::Verify(verify)) => verify.run(),
        Some(Command::Doctor(doctor)) => doctor.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
