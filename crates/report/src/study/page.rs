//! A study as one page that opens offline.

use crate::chart::{Chart, dark_rules};
use crate::error::ReportError;
use crate::numbers;
use crate::page::{Figure, environment, figures, paragraphs};
use crate::study::study_sentences;
use experiment::study::{LatencyKind, Origin, StudyResults};
use minijinja::value::Serde;
use recommender::Metric;
use serde::Serialize;

const TEMPLATE: &str = include_str!("../../templates/study.html");

#[derive(Serialize)]
struct Content<'a> {
    name: &'a str,
    question: Vec<String>,
    log: String,
    protocol: String,
    sentences: Vec<String>,
    charts: Vec<Figure>,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    latency: Vec<[String; 6]>,
    not_kept: Vec<String>,
    health: Vec<[String; 5]>,
    machine: Vec<(&'static str, String)>,
    config: &'a str,
    command: String,
    dark_rules: String,
}

/// Fills in the page.
pub(super) fn page(
    study: &StudyResults,
    metric: Metric,
    charts: &[Chart],
) -> Result<String, ReportError> {
    let info = &study.info;
    let metrics: Vec<Metric> = study
        .outcomes
        .first()
        .map(|first| first.test.metrics.iter().map(|(m, _)| *m).collect())
        .unwrap_or_default();
    let mut columns: Vec<String> = ["Model", "Attention", "How", "Seed"].map(Into::into).into();
    columns.extend(metrics.iter().map(ToString::to_string));
    columns.extend([
        format!("Change in {metric}"),
        "Epochs".into(),
        "Training".into(),
    ]);
    let rows = study.outcomes.iter().map(|outcome| {
        let made = &outcome.made;
        let how = match made.origin {
            Origin::Floor => "floor",
            Origin::Trained => "trained",
            Origin::Swapped => "swapped in",
            Origin::FineTuned => "swapped in, fine-tuned",
            _ => "",
        };
        let learned = made.origin != Origin::Floor;
        let when = |yes: bool, text: String| if yes { text } else { String::new() };
        let mut cells = vec![
            made.model.clone(),
            made.variant.clone().unwrap_or_default(),
            how.into(),
            when(learned, made.seed.to_string()),
        ];
        cells.extend(metrics.iter().map(|&m| {
            let value = outcome.estimate(m);
            value.map_or_else(String::new, |e| {
                if m == metric {
                    format!("{:.4} ({:.4} to {:.4})", e.value, e.low, e.high)
                } else {
                    format!("{:.4}", e.value)
                }
            })
        }));
        let change = outcome.against.as_ref().map(|a| a.test.difference);
        cells.push(change.map_or_else(String::new, |d| {
            format!("{:+.4} ({:+.4} to {:+.4})", d.value, d.low, d.high)
        }));
        cells.push(when(made.epochs > 0, made.epochs.to_string()));
        let seconds = format!("{:.0} s", made.training_seconds);
        cells.push(when(made.training_seconds > 0.0, seconds));
        cells
    });
    let machine = &info.machine;
    let content = Content {
        name: &info.experiment,
        question: paragraphs(&info.question),
        log: format!("{}: {}", info.log.0, info.log.2),
        protocol: study
            .outcomes
            .first()
            .map_or_else(String::new, |first| first.test.protocol.to_string()),
        sentences: study_sentences(study, metric),
        charts: figures(charts)?,
        columns,
        rows: rows.collect(),
        latency: latency(study),
        not_kept: not_kept(study),
        health: health(study),
        machine: vec![
            ("Processor", machine.cpu_model.clone()),
            ("Instruction sets", machine.isa.clone()),
            ("CPUs available", machine.cpus_available.to_string()),
            ("Threads", info.placement.clone()),
            ("Code", info.code.identity.clone()),
        ],
        config: &info.config_given,
        command: format!("attnbench train {}", info.experiment),
        dark_rules: dark_rules(".chart"),
    };
    let environment = environment("study.html", TEMPLATE)?;
    let template = environment.get_template("study.html")?;
    Ok(template.render(Serde(content))?)
}

/// Model, what was timed, events, median, slowest in a hundred, bytes kept of a user.
fn latency(study: &StudyResults) -> Vec<[String; 6]> {
    let rows = study.latency.iter().map(|point| {
        let what = match point.kind {
            LatencyKind::Step => format!("training step of {} histories", point.batch),
            LatencyKind::Event => "request, state kept".to_owned(),
            _ => "request".to_owned(),
        };
        let kept = point.kept_bytes.map(|bytes| numbers::bytes(bytes as f64));
        [
            point.label(),
            what,
            point.length.to_string(),
            format!("{:.3} ms", point.median_ms),
            format!("{:.3} ms", point.p99_ms),
            kept.unwrap_or_default(),
        ]
    });
    rows.collect()
}

/// Why there is nothing kept of a user, reason by reason with the trainings that it holds for.
fn not_kept(study: &StudyResults) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for point in &study.latency {
        let Some(reason) = point.not_kept.as_deref() else {
            continue;
        };
        let label = point.label();
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, labels)) if labels.contains(&label) => {}
            Some((_, labels)) => labels.push(label),
            None => reasons.push((reason, vec![label])),
        }
    }
    let rows = reasons.into_iter();
    rows.map(|(reason, labels)| format!("{}: {reason}", labels.join("; ")))
        .collect()
}

/// Gradients and entropies by block: training, block, gradient over size at the beginning and at the end, entropy.
fn health(study: &StudyResults) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    for outcome in &study.outcomes {
        let Some(health) = &outcome.made.health else {
            continue;
        };
        for (n, (begin, end)) in health.begin.iter().zip(&health.end).enumerate() {
            let entropy = health.entropy.get(n);
            rows.push([
                format!("{}, seed {}", outcome.made.label(), outcome.made.seed),
                n.to_string(),
                format!("{:.2e}", begin.ratio()),
                format!("{:.2e}", end.ratio()),
                entropy.map_or_else(String::new, |entropy| format!("{entropy:.3}")),
            ]);
        }
    }
    rows
}
