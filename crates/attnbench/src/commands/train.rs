//! `train`: a study of recommenders.

use crate::failure::Failure;
use crate::request::preset;
use crate::study;
use crate::study::Teller;
use clap::Args;
use experiment::study::{StudyConfig, StudyOptions, run_study};
use experiment::{Preset, studies};
use std::path::{Path, PathBuf};

/// Train recommenders on an interaction log and rank them, with any attention inside
///
/// Results go to runs/<study>/<identity>/ unless --out says otherwise: study.json, records.jsonl, summary.csv,
/// charts/, report.html, and a folder below trainings/ for each model, attention and seed, with its epochs,
/// checkpoint and weights. Interrupted (Ctrl-C, kill) and called again it goes on from the last whole epoch, to
/// the same weights bit for bit. Several processes may work on one folder.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// A TOML file, or the name of a study from `attnbench list studies`
    #[arg(value_name = "CONFIG")]
    config: String,
    /// Override a value of the config, dotted keys: --set training.epochs=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Only trainings whose model, attention or folder has this name, * for any characters; repeat for several
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Threads [default: all]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Where results go
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Set old results aside and train all anew
    #[arg(long)]
    fresh: bool,
}

impl Train {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = self.load()?;
        for only in &self.only {
            let all = config.trainings();
            if !all.iter().any(|training| training.fits(only)) {
                let names: Vec<String> = all.iter().map(|training| training.folder()).collect();
                let help = format!(
                    "`*` stands for any characters; there are {}",
                    names.join(", ")
                );
                return Err(Failure::request(
                    format!("no training is called `{only}`"),
                    help.as_str(),
                ));
            }
        }
        let options = StudyOptions {
            out: self.out,
            fresh: self.fresh,
            only: self.only,
            threads: self.threads,
        };
        let results = run_study(
            &config,
            &options,
            &mut Teller::new(config.evaluation.metric),
        )?;
        study::present(&results)
    }

    fn load(&self) -> Result<StudyConfig, Failure> {
        let path = Path::new(&self.config);
        if path.is_file() {
            return Ok(StudyConfig::load(path, &self.sets)?);
        }
        parse(preset(&self.config, studies(), "study")?, &self.sets)
    }
}

/// An embedded study with overrides.
pub(super) fn parse(preset: &Preset, sets: &[String]) -> Result<StudyConfig, Failure> {
    let name = format!("{}.toml", preset.name);
    Ok(StudyConfig::parse(&name, preset.text, sets)?)
}
