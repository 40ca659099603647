//! What `run`, `plan` and `demo` have in common: an experiment, overrides, a filter.

use crate::failure::Failure;
use clap::Args;
use experiment::config::KEYS;
use experiment::{Config, Context, Filter, Plan, Preset, experiments};
use std::path::Path;

/// Which experiment, and what of it.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// A TOML file, or the name of an experiment from `attnbench list experiments`
    #[arg(value_name = "CONFIG")]
    config: String,
    /// Override a value of the config, dotted keys; repeat for several: --set problem.length=[64,128]
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Keep only what fits: conditions joined by commas
    ///
    /// FIELD=VALUE with !=, <, <=, >, >= too, and * for any characters in words: variant=NAME*,n>=1024. Fields
    /// that select variants: variant (name or label), family. Fields that select whole groups: workload, n, d,
    /// threads, mask, entropy.
    #[arg(long, value_name = "EXPR")]
    filter: Option<Filter>,
}

impl Request {
    /// Lays out the plan, against peaks measured now.
    pub(crate) fn plan(&self) -> Result<(Plan, Context), Failure> {
        plan(&self.load()?, self.filter.as_ref())
    }

    fn load(&self) -> Result<Config, Failure> {
        let path = Path::new(&self.config);
        if path.is_file() {
            return Ok(Config::load(path, &self.sets)?);
        }
        parse(
            preset(&self.config, experiments(), "experiment")?,
            &self.sets,
        )
    }
}

/// An embedded experiment or study by name.
pub(crate) fn preset(
    name: &str,
    presets: &'static [Preset],
    kind: &str,
) -> Result<&'static Preset, Failure> {
    if let Some(preset) = presets.iter().find(|preset| preset.name == name) {
        return Ok(preset);
    }
    let names: Vec<&str> = presets.iter().map(|preset| preset.name).collect();
    let near = attention_variants::nearest(name, &names);
    let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    Err(Failure::Request {
        what: format!("`{name}` is neither a config file nor an embedded {kind}"),
        help: Some(format!("{near}embedded are {}", names.join(", "))),
    })
}

/// An embedded experiment with overrides.
pub(crate) fn parse(preset: &Preset, sets: &[String]) -> Result<Config, Failure> {
    let name = format!("{}.toml", preset.name);
    Ok(Config::parse(&name, preset.text, sets)?)
}

/// Lays out a plan. What is too slow, and how long the rest takes, depends on the machine's peak,
/// which is measured first.
pub(crate) fn plan(config: &Config, filter: Option<&Filter>) -> Result<(Plan, Context), Failure> {
    let mut context = Context::detect();
    for &threads in &config.problem.threads {
        context.measure(threads);
    }
    Ok((Plan::new(config, &context, filter)?, context))
}

/// The keys of a config, for `--help`.
pub(crate) fn keys() -> String {
    let mut text =
        "Config (TOML; a list makes an axis, groups are the cross product of all axes):".to_owned();
    let mut section = None;
    for key in KEYS {
        if section != Some(key.section) {
            section = Some(key.section);
            if !key.section.is_empty() {
                text += &format!("\n  [{}]", key.section);
            }
        }
        text += &format!(
            "\n  {} = {}: {} (default: {})",
            key.name, key.accepts, key.summary, key.default
        );
    }
    text + "\n  [variants.NAME]\n  parameters of the variant: see `attnbench list variants`"
}
