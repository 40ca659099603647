//! `train`: a study of recommenders.

use crate::failure::Failure;
use crate::study;
use crate::study::Teller;
use clap::Args;
use experiment::Preset;
use experiment::study::{StudyConfig, StudyOptions, run_study};
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
    /// Only trainings whose label has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
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
        let studies = experiment::studies();
        if let Some(preset) = studies.iter().find(|p| p.name == self.config) {
            return parse(preset, &self.sets);
        }
        let names: Vec<&str> = studies.iter().map(|p| p.name).collect();
        let near = attention_variants::nearest(&self.config, &names);
        let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        Err(Failure::Request {
            what: format!(
                "`{}` is neither a config file nor an embedded study",
                self.config
            ),
            help: Some(format!("{near}embedded are {}", names.join(", "))),
        })
    }
}

/// An embedded study with overrides.
pub(super) fn parse(preset: &Preset, sets: &[String]) -> Result<StudyConfig, Failure> {
    let name = format!("{}.toml", preset.name);
    Ok(StudyConfig::parse(&name, preset.text, sets)?)
}
