//! `[variants.*]`: which variants, over which values of their parameters.

use attention::Variant;
use attention_variants::{Configured, RegistryError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// A parameter's value: as it stands, or a share of the length N.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// Text that the parameter parses.
    Given(String),
    /// `N/8`: N over this, rounded down.
    Share(usize),
}

impl Setting {
    pub(super) fn parse(text: String) -> Self {
        let divisor = text
            .strip_prefix("N/")
            .and_then(|d| d.parse().ok())
            .filter(|d| *d > 0);
        divisor.map_or(Self::Given(text), Self::Share)
    }

    /// The text that the parameter parses, for a length of `n`.
    #[must_use]
    pub fn at(&self, n: usize) -> String {
        match self {
            Self::Given(text) => text.clone(),
            Self::Share(divisor) => (n / divisor).to_string(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(text) => f.write_str(text),
            Self::Share(divisor) => write!(f, "N/{divisor}"),
        }
    }
}

impl Serialize for Setting {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One variant and the values over which its parameters sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sweep {
    /// Name in the registry.
    pub name: &'static str,
    /// Values of the parameters that are set; the others keep their defaults.
    pub settings: BTreeMap<&'static str, Vec<Setting>>,
}

/// One point of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Name and the parameters that vary or are not at their defaults: `top-k k=64`.
    pub label: String,
    /// Name in the registry.
    pub name: &'static str,
    settings: Vec<(&'static str, Setting)>,
}

impl Sweep {
    /// Every combination of the settings, the last parameter varying fastest.
    #[must_use]
    pub fn choices(&self, variant: &Variant) -> Vec<Choice> {
        let mut points: Vec<Vec<(&'static str, Setting)>> = vec![Vec::new()];
        for (&parameter, values) in &self.settings {
            points = points
                .into_iter()
                .flat_map(|point| {
                    values
                        .iter()
                        .map(move |value| with(&point, parameter, value))
                })
                .collect();
        }
        let is_default = |parameter: &str, setting: &Setting| {
            let declared = variant.parameters.iter().find(|p| p.name == parameter);
            declared.is_some_and(
                |p| matches!(setting, Setting::Given(text) if p.accept(text) == Ok(p.default)),
            )
        };
        points
            .into_iter()
            .map(|settings| {
                let shown = settings.iter().filter(|(p, s)| {
                    self.settings.get(p).is_some_and(|v| v.len() > 1) || !is_default(p, s)
                });
                let label = shown.fold(self.name.to_owned(), |label, (p, s)| {
                    format!("{label} {p}={s}")
                });
                Choice {
                    label,
                    name: self.name,
                    settings,
                }
            })
            .collect()
    }
}

fn with(
    point: &[(&'static str, Setting)],
    parameter: &'static str,
    value: &Setting,
) -> Vec<(&'static str, Setting)> {
    let mut point = point.to_vec();
    point.push((parameter, value.clone()));
    point
}

impl Choice {
    /// The variant with its parameters for histories of `n`.
    ///
    /// # Errors
    /// [`RegistryError`] where a share of this length is out of a parameter's range.
    pub fn at(&self, n: usize) -> Result<Configured, RegistryError> {
        let texts: Vec<_> = self.settings.iter().map(|(p, s)| (*p, s.at(n))).collect();
        Configured::new(self.name, texts.iter().map(|(p, t)| (*p, t.as_str())))
    }
}
