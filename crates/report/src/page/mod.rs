//! The page: one file, no requests, a plain document where scripts are off.

mod decisions;
mod table;

use crate::chart::{Chart, dark_rules};
use crate::context::Context;
use crate::error::ReportError;
use crate::findings::{Findings, Level};
use crate::numbers::count;
use crate::settings::{Settings, is_measured};
use experiment::record::Record;
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;
use std::collections::BTreeMap;

const TEMPLATE: &str = include_str!("../../templates/report.html");

/// What all pages look like, and how their tables sort.
const SHARED: [(&str, &str); 2] = [
    ("style.css", include_str!("../../templates/style.css")),
    ("sort.js", include_str!("../../templates/sort.js")),
];

/// An environment that knows a page's template and what pages share.
pub(crate) fn environment(
    name: &'static str,
    template: &'static str,
) -> Result<Environment<'static>, ReportError> {
    let mut environment = Environment::new();
    environment.add_filter("unbroken", unbroken);
    // The ending of the name turns escaping on.
    environment.add_template(name, template)?;
    for (name, text) in SHARED {
        environment.add_template(name, text)?;
    }
    Ok(environment)
}

/// A chart on a page.
#[derive(Serialize)]
pub(crate) struct Figure {
    name: &'static str,
    reading: &'static str,
    wide: String,
    narrow: String,
}

/// Draws charts for a page.
pub(crate) fn figures(charts: &[Chart]) -> Result<Vec<Figure>, ReportError> {
    let figure = |chart: &Chart| {
        Ok(Figure {
            name: chart.name(),
            reading: chart.reading(),
            wide: chart.svg()?,
            narrow: chart.narrow_svg()?,
        })
    };
    charts.iter().map(figure).collect()
}

/// What the template is filled in with.
#[derive(Serialize)]
struct Content<'a> {
    context: &'a Context,
    question: Vec<String>,
    counts: String,
    findings: &'a Findings,
    notes: &'a [String],
    levels: [String; 3],
    decisions: Vec<decisions::Decision>,
    charts: Vec<Figure>,
    columns: Vec<table::Heading>,
    rows: Vec<Vec<table::Cell>>,
    sampled: String,
    doubts: Vec<String>,
    dark_rules: String,
}

/// Fills in the page.
///
/// # Errors
///
/// [`ReportError::Draw`] and [`ReportError::Page`].
pub(crate) fn page(
    records: &[Record],
    findings: &Findings,
    charts: &[Chart],
    about: &Context,
) -> Result<String, ReportError> {
    let settings = Settings::of(records);
    let figures = figures(charts)?;
    let table = table::table(&settings);
    let environment = environment("report.html", TEMPLATE)?;
    let content = Content {
        context: about,
        question: paragraphs(&about.question),
        counts: counts(&settings),
        findings,
        notes: &about.warnings,
        levels: Level::ALL.map(Level::label),
        decisions: decisions::decisions(findings),
        charts: figures,
        columns: table.columns,
        rows: table.rows,
        sampled: sampled(&settings),
        doubts: doubts(&settings),
        dark_rules: dark_rules(".chart"),
    };
    let template = environment.get_template("report.html")?;
    Ok(template.render(Serde(content))?)
}

/// Keeps numbers with their signs and units on one line.
fn unbroken(text: String) -> String {
    let mut text = text;
    for tied in [" = ", "η ", " ≈ ", " ≥ ", " ≤ ", " %", " ms", " µs"] {
        text = text.replace(tied, &tied.replace(' ', "\u{a0}"));
    }
    text
}

pub(crate) fn paragraphs(prose: &str) -> Vec<String> {
    prose
        .split("\n\n")
        .map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|p| !p.is_empty())
        .collect()
}

/// `96 cells, 90 of them measured, in 14 settings`.
fn counts(settings: &Settings) -> String {
    let cells = || settings.all.iter().flat_map(|s| &s.records);
    let measured = cells().filter(|r| is_measured(r)).count();
    format!(
        "{}, {measured} measured, in {}",
        count(cells().count(), "cell"),
        count(settings.all.len(), "setting")
    )
}

/// How many query rows the oracle answered.
fn sampled(settings: &Settings) -> String {
    let rows = || {
        let problems = settings.all.iter().flat_map(|s| &s.records);
        problems.filter_map(|r| r.problem.as_ref().map(|p| p.sampled_rows))
    };
    match (rows().min(), rows().max()) {
        (Some(least), Some(most)) if least == most => {
            format!(
                "{} of each setting were compared.",
                count(most, "query row")
            )
        }
        (Some(least), Some(most)) => {
            format!("Between {least} and {most} query rows of each setting were compared.")
        }
        _ => String::new(),
    }
}

/// The warnings of single cells, those of one kind told once.
fn doubts(settings: &Settings) -> Vec<String> {
    let mut kinds: BTreeMap<&str, (usize, &measure::Warning)> = BTreeMap::new();
    for warning in settings
        .all
        .iter()
        .flat_map(|s| &s.records)
        .flat_map(|r| &r.warnings)
    {
        kinds.entry(warning.code.as_str()).or_insert((0, warning)).0 += 1;
    }
    kinds
        .into_values()
        .map(|(n, warning)| match n {
            1 => warning.to_string(),
            n => format!("{} (the first of {n} such cells)", warning),
        })
        .collect()
}
