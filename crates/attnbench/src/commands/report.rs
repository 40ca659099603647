//! `report`: charts and page anew from the records.

use crate::failure::Failure;
use crate::page;
use crate::study;
use clap::Args;
use experiment::RunDir;
use experiment::study::read_study;
use std::path::PathBuf;

/// Redraw charts and report of a run from its records; measures nothing
///
/// Writes charts/*.svg, charts/*.png and report.html into the folder of the run, and prints the findings. A run
/// in progress is drawn as far as it is.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The folder of a run or of a study, which holds manifest.json or study.json, and records.jsonl
    #[arg(value_name = "RUN_DIR")]
    run_dir: PathBuf,
}

impl Report {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.run_dir.join("study.json").is_file() {
            let results = read_study(&self.run_dir)?;
            return study::present(&results);
        }
        page::present(&RunDir::open(&self.run_dir)?)
    }
}
