//! How the error of approximations falls with what they are given: features, landmarks, rank, interests.

use super::{Advice, Answer};
use crate::fit::{Fit, student_t};
use crate::numbers::{self, count, exponent, list, skill};
use crate::order::natural;
use crate::settings::{Setting, Settings, is_exact};
use experiment::record::Record;
use std::collections::{BTreeMap, BTreeSet};

/// Values of a parameter from which on a slope can be told from chance.
const ENOUGH: usize = 3;

/// The parameter whose values are draws of the same variant, not steps of it.
const DRAWS: &str = "seed";

/// An exponent that a paper promises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Theory {
    variant: &'static str,
    pub(crate) exponent: f64,
    pub(crate) label: &'static str,
    source: &'static str,
}

/// Means of m independent estimates without bias.
const THEORIES: [Theory; 1] = [Theory {
    variant: "favor",
    exponent: -0.5,
    label: "m^(-1/2), theory of favor",
    source: "Choromanski et al. 2021",
}];

/// All draws of a variant at one value of the swept parameter.
#[derive(Debug, Clone)]
pub(crate) struct Point<'a> {
    pub(crate) value: u64,
    /// Geometric mean over the draws.
    pub(crate) error: f64,
    /// 95 % interval: over the draws where there are several, else over the rows that were compared.
    pub(crate) interval: (f64, f64),
    /// Mean over the draws.
    pub(crate) skill: f64,
    pub(crate) draws: Vec<&'a Record>,
}

/// One variant along a whole-number parameter.
#[derive(Debug, Clone)]
pub(crate) struct Sweep<'a> {
    /// Name and what else of it varies: `favor kind=hyperbolic`.
    pub(crate) label: String,
    pub(crate) parameter: String,
    /// By value; two or more.
    pub(crate) points: Vec<Point<'a>>,
    /// Through all draws, where the values are enough.
    pub(crate) fit: Option<Fit>,
    pub(crate) theory: Option<Theory>,
}

/// The approximations of a setting: those along a parameter, and those that stay as they are.
#[derive(Debug, Clone)]
pub(crate) struct Features<'a> {
    pub(crate) sweeps: Vec<Sweep<'a>>,
    pub(crate) level: Vec<Point<'a>>,
}

fn error(record: &Record) -> Option<f64> {
    let error = record.accuracy.as_ref()?.total.relative_frobenius;
    (error.is_finite() && error > 0.0).then_some(error)
}

/// What skips pairs stands on the chart of sparsity.
fn skips(record: &Record) -> bool {
    record.mask_sparsity.abs() > 1e-12
}

impl<'a> Features<'a> {
    /// `None` where no parameter has values enough for a slope.
    pub(crate) fn of(setting: &Setting<'a>) -> Option<Self> {
        let mut rows: Vec<&Record> = setting
            .measured()
            .filter(|r| !is_exact(r) && !skips(r) && error(r).is_some())
            .collect();
        rows.sort_by(|a, b| {
            natural(&a.variant.name, &b.variant.name)
                .then_with(|| natural(&a.variant.label, &b.variant.label))
        });
        let mut found = Features {
            sweeps: Vec::new(),
            level: Vec::new(),
        };
        for group in rows.chunk_by(|a, b| a.variant.name == b.variant.name) {
            match varying(group).as_slice() {
                [] => {
                    let lines = alike(group, "");
                    found
                        .level
                        .extend(lines.iter().filter_map(|l| Point::of(l)));
                }
                [parameter] => {
                    for line in alike(group, parameter) {
                        match Sweep::of(&line, parameter) {
                            Some(sweep) => found.sweeps.push(sweep),
                            None => found.level.extend(Point::of(&line)),
                        }
                    }
                }
                // A plane is no line.
                _ => {}
            }
        }
        let fitted = found.sweeps.iter().any(|s| s.fit.is_some());
        fitted.then_some(found)
    }
}

/// The whole-number parameters in which records of one name differ.
fn varying(group: &[&Record]) -> Vec<String> {
    let mut values: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for record in group {
        for (name, value) in &record.variant.parameters {
            if let (true, Some(value)) = (name != DRAWS, value.as_u64()) {
                values.entry(name).or_default().insert(value);
            }
        }
    }
    values.retain(|_, values| values.len() > 1);
    values.into_keys().map(String::from).collect()
}

/// Records that agree in all but `parameter` and the draw, in order.
fn alike<'a>(group: &[&'a Record], parameter: &str) -> Vec<Vec<&'a Record>> {
    let mut lines: Vec<(String, Vec<&Record>)> = Vec::new();
    for &record in group {
        let label = label(record, parameter);
        match lines.iter_mut().find(|(l, _)| *l == label) {
            Some((_, line)) => line.push(record),
            None => lines.push((label, vec![record])),
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

/// The label without the swept parameter and the draw.
pub(crate) fn label(record: &Record, parameter: &str) -> String {
    let told = |word: &&str| {
        let name = word.split('=').next().unwrap_or_default();
        !word.contains('=') || (name != parameter && name != DRAWS)
    };
    let words: Vec<&str> = record.variant.label.split(' ').filter(told).collect();
    words.join(" ")
}

impl<'a> Point<'a> {
    fn of(draws: &[&'a Record]) -> Option<Self> {
        let logs: Vec<f64> = draws.iter().filter_map(|r| error(r)).map(f64::ln).collect();
        let first = draws.first()?;
        let n = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / n;
        let interval = if logs.len() > 1 {
            let variance = logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let half = student_t(logs.len() - 1) * (variance / n).sqrt();
            ((mean - half).exp(), (mean + half).exp())
        } else {
            first.accuracy.as_ref()?.relative_frobenius_interval
        };
        let skills = draws
            .iter()
            .filter_map(|r| Some(r.accuracy.as_ref()?.total.skill));
        Some(Point {
            value: 0,
            error: mean.exp(),
            interval,
            skill: skills.sum::<f64>() / n,
            draws: draws.to_vec(),
        })
    }
}

impl<'a> Sweep<'a> {
    fn of(line: &[&'a Record], parameter: &str) -> Option<Self> {
        let value = |r: &Record| {
            r.variant
                .parameters
                .get(parameter)?
                .as_u64()
                .filter(|v| *v > 0)
        };
        let mut by_value: BTreeMap<u64, Vec<&Record>> = BTreeMap::new();
        for &record in line {
            by_value.entry(value(record)?).or_default().push(record);
        }
        let points: Vec<Point> = by_value
            .iter()
            .filter_map(|(&value, draws)| {
                Some(Point {
                    value,
                    ..Point::of(draws)?
                })
            })
            .collect();
        if points.len() < 2 {
            return None;
        }
        let (x, y): (Vec<f64>, Vec<f64>) = points
            .iter()
            .flat_map(|p| {
                p.draws
                    .iter()
                    .map(|r| (p.value as f64, error(r).unwrap_or(f64::NAN)))
            })
            .unzip();
        let name = &line[0].variant.name;
        Some(Sweep {
            label: label(line[0], parameter),
            parameter: parameter.into(),
            fit: (points.len() >= ENOUGH).then(|| Fit::of(&x, &y)).flatten(),
            points,
            theory: THEORIES.into_iter().find(|t| t.variant == name),
        })
    }

    /// Whether the theory's exponent lies in the interval of the fit.
    pub(crate) fn agrees(&self) -> Option<bool> {
        let (low, high) = self.fit?.interval;
        Some((low..=high).contains(&self.theory?.exponent))
    }

    /// `features^-0.47 (-0.55 to -0.40)`.
    fn power(&self) -> Option<String> {
        let fit = self.fit?;
        let (low, high) = fit.interval;
        Some(format!(
            "{}^{} ({} to {})",
            self.parameter,
            exponent(fit.exponent),
            exponent(low),
            exponent(high)
        ))
    }
}

/// The settings in which there is a slope to tell.
pub(crate) fn all<'s, 'a>(settings: &'s Settings<'a>) -> Vec<(&'s Setting<'a>, Features<'a>)> {
    let each = settings.all.iter();
    each.filter_map(|s| Some((s, Features::of(s)?))).collect()
}

/// What was swept, each once: `features and landmarks`.
pub(crate) fn parameters<'s>(all: impl IntoIterator<Item = &'s Features<'s>>) -> Vec<String> {
    let sweeps = all.into_iter().flat_map(|f| &f.sweeps);
    let names: BTreeSet<&String> = sweeps.map(|s| &s.parameter).collect();
    names.into_iter().cloned().collect()
}

/// A line for each setting: the exponent of each variant.
pub(crate) fn advice(settings: &Settings) -> Option<Advice> {
    let all = all(settings);
    let lines: Vec<String> = all
        .iter()
        .map(|(setting, features)| {
            let words: Vec<String> = features.sweeps.iter().filter_map(words).collect();
            format!("{}: {}.", settings.setting_label(setting), list(&words))
        })
        .collect();
    (!lines.is_empty()).then(|| Advice {
        title: format!(
            "The power of {} by which each error falls, with its 95 % interval",
            list(&parameters(all.iter().map(|(_, f)| f)))
        ),
        lines,
    })
}

/// `favor features^-0.47 (-0.55 to -0.40; the theory's -0.5 lies within)`.
fn words(sweep: &Sweep) -> Option<String> {
    let power = sweep.power()?;
    let verdict = match (sweep.agrees(), sweep.theory) {
        (Some(agrees), Some(theory)) => format!(
            "; the theory's {} lies {})",
            theory.exponent,
            if agrees { "within" } else { "outside" }
        ),
        _ => ")".into(),
    };
    Some(format!(
        "{} {}{verdict}",
        sweep.label,
        power.trim_end_matches(')')
    ))
}

/// The same and the errors at both ends, as a table; `None` where there is no slope.
pub(crate) fn answer(settings: &Settings) -> Option<Answer> {
    let all = all(settings);
    if all.is_empty() {
        return None;
    }
    let columns = [
        "Variant",
        "From, to",
        "Error from, to",
        "Skill from, to",
        "Error falls as",
        "Theory",
    ];
    let rows = all.iter().map(|(setting, features)| {
        let swept = features.sweeps.iter().map(row);
        let level = features.level.iter().map(level_row);
        (
            settings.setting_label(setting),
            swept.chain(level).collect(),
        )
    });
    Some(Answer::of(
        format!(
            "How the error falls with {}",
            list(&parameters(all.iter().map(|(_, f)| f)))
        ),
        "Least squares on logarithmic axes through all draws, with the 95 % interval of the exponent by Student's t. \
         Errors and skills are means over the draws. A variant without such a parameter has one error.",
        &columns.map(String::from),
        rows.collect(),
    ))
}

fn row(sweep: &Sweep) -> Vec<String> {
    let ends = |show: &dyn Fn(&Point) -> String| match sweep.points.as_slice() {
        [first, .., last] => format!("{} → {}", show(first), show(last)),
        _ => String::new(),
    };
    let draws = sweep
        .points
        .iter()
        .map(|p| p.draws.len())
        .max()
        .unwrap_or(1);
    let range = ends(&|p| p.value.to_string());
    let theory = match (sweep.agrees(), sweep.theory) {
        (Some(agrees), Some(theory)) => format!(
            "{} ({}): {}",
            theory.exponent,
            theory.source,
            if agrees { "within" } else { "outside" }
        ),
        _ => String::new(),
    };
    vec![
        sweep.label.clone(),
        match draws {
            1 => format!("{} {range}", sweep.parameter),
            n => format!("{} {range}, {}", sweep.parameter, count(n, "draw")),
        },
        ends(&|p| numbers::error(p.error)),
        ends(&|p| skill(p.skill)),
        sweep.power().unwrap_or_else(|| "too few values".into()),
        theory,
    ]
}

fn level_row(point: &Point) -> Vec<String> {
    let name = point
        .draws
        .first()
        .map(|r| label(r, ""))
        .unwrap_or_default();
    let none = String::new;
    let (error, skill) = (numbers::error(point.error), skill(point.skill));
    vec![name, none(), error, skill, none(), none()]
}
