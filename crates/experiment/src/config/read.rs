//! From texts to a [`Config`]: types first, then what must hold between values.

use super::error::{ConfigError, Fault};
use super::section::{Item, Section, values};
use super::sources::{self, Sources};
use super::{Accuracy, Config, Histories, Inputs, Time, axes, tensors, variants};
use crate::workload::{Needs, WORKLOADS};
use recommender::LogFormat;
use std::path::{Path, PathBuf};

pub(super) fn read(
    name: &str,
    text: &str,
    sets: &[String],
    folder: Option<&Path>,
) -> Result<Config, ConfigError> {
    let sources = Sources::new(name, text, sets)?;
    let padded = sources.padded();
    let mut config = sources::parse(&padded)
        .and_then(|(table, span)| whole(&Section::top(&table, span)?, folder))
        .map_err(|fault| sources.locate(fault))?;
    config.given = text.into();
    config.overrides = sets.to_vec();
    Ok(config)
}

fn whole(top: &Section<'_>, folder: Option<&Path>) -> Result<Config, Fault> {
    let name = top.require("name")?;
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    if !is_name(name.text()?) {
        return Err(name.wrong("letters, digits, - and _: it names a folder"));
    }
    let inputs = inputs(&top.section("inputs")?)?;
    let histories = histories(&top.section("histories")?, folder)?;
    let files = top.section("tensors")?;
    let tensors = inputs
        .need(Needs::Tensors)
        .then(|| tensors::tensors(&files, folder))
        .transpose()?;
    top.require("problem")?;
    let (problem, places) = axes::axes(&top.section("problem")?, tensors.is_some())?;
    axes::check(&problem, &places, &inputs)?;
    top.require("variants")?;
    let variants = variants::variants(&top.section("variants")?, &problem.length)?;
    let accuracy = top.section("accuracy")?;
    let rows = accuracy
        .get("rows")
        .map_or(Ok(256), |i| i.integer(1..=1 << 20))?;
    let mut config = Config {
        name: name.text()?.into(),
        question: top
            .get("question")
            .map_or(Ok(""), |i| i.text())?
            .trim()
            .into(),
        seed: top
            .get("seed")
            .map_or(Ok(1), |i| i.integer(0..=i64::MAX as u64))?,
        baseline: None,
        ladder: Vec::new(),
        inputs,
        histories,
        tensors,
        problem,
        variants,
        accuracy: Accuracy {
            rows: rows as usize,
        },
        time: time(&top.section("time")?)?,
        given: String::new(),
        overrides: Vec::new(),
    };
    config.baseline = top
        .get("baseline")
        .map(|item| variants::baseline(&item, &config))
        .transpose()?;
    if let Some(item) = top.get("ladder") {
        config.ladder = variants::ladder(&item, &config)?;
    }
    Ok(config)
}

fn inputs(section: &Section<'_>) -> Result<Inputs, Fault> {
    let names: Vec<&str> = WORKLOADS.iter().map(|w| w.name).collect();
    let workload = |item: &Item<'_>| {
        let text = item.text()?;
        let found = WORKLOADS.iter().find(|w| w.name == text).map(|w| w.name);
        found.ok_or_else(|| item.wrong("a workload").suggest(text, &names))
    };
    let entropy =
        |item: &Item<'_>| item.float("a share above 0, at most 1", |x| x > 0.0 && x <= 1.0);
    Ok(Inputs {
        workload: values(section.get("workload"), workload)?.unwrap_or_else(|| vec!["clusters"]),
        entropy: values(section.get("entropy"), entropy)?.unwrap_or_default(),
    })
}

fn histories(section: &Section<'_>, folder: Option<&Path>) -> Result<Histories, Fault> {
    let log = match section.get("log") {
        Some(item) if item.text()? != "simulated" => Some(find_log(&item, folder)?),
        _ => None,
    };
    let format = match section.get("format") {
        None => LogFormat::Auto,
        Some(item) => item
            .text()?
            .parse::<LogFormat>()
            .map_err(|e| item.wrong(e.expected).help(e.problem))?,
    };
    Ok(Histories {
        log,
        format: format.to_string(),
    })
}

/// A log relative to the config's folder, or else to `ATTNBENCH_DATA`.
fn find_log(item: &Item<'_>, folder: Option<&Path>) -> Result<PathBuf, Fault> {
    let given = Path::new(item.text()?);
    crate::find::find(given, folder).map_err(|tried| {
        let message = format!("`histories.log`: no file {}", given.display());
        Fault::new(item.span.clone(), message, "not found").help(format!(
            "looked for {tried}; a relative path is taken from the config's folder, then from the folder in \
             ATTNBENCH_DATA; `simulated` needs no file"
        ))
    })
}

fn time(section: &Section<'_>) -> Result<Time, Fault> {
    let count = |key, default, least| {
        section
            .get(key)
            .map_or(Ok(default), |i| Ok(i.integer(least..=1_000_000)? as usize))
    };
    let seconds = |key, default| {
        let read = |i: Item<'_>| {
            i.float("seconds above 0, at most 86400", |x| {
                x > 0.0 && x <= 86_400.0
            })
        };
        section.get(key).map_or(Ok(default), read)
    };
    let interval = |i: Item<'_>| i.float("a share from 0 to 1", |x| (0.0..=1.0).contains(&x));
    let time = Time {
        warmup: count("warmup", 2, 0)?,
        min_rounds: count("min_rounds", 5, 1)?,
        max_rounds: count("max_rounds", 100, 1)?,
        relative_interval: section
            .get("relative_interval")
            .map_or(Ok(0.03), interval)?,
        seconds_per_group: seconds("seconds_per_group", 5.0)?,
        seconds_per_call: seconds("seconds_per_call", 20.0)?,
    };
    match section
        .get("min_rounds")
        .or_else(|| section.get("max_rounds"))
    {
        Some(item) if time.min_rounds > time.max_rounds => {
            let message = format!(
                "at least {} rounds and at most {}",
                time.min_rounds, time.max_rounds
            );
            Err(Fault::new(item.span, message, "above `time.max_rounds`")
                .help("raise max_rounds or lower min_rounds"))
        }
        _ => Ok(time),
    }
}
