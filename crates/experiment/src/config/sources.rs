//! The text of a config and its overrides, parsed into one table whose spans tell them apart.

use super::error::{ConfigError, Fault};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A config's file and overrides, laid one behind the other: every byte has one position, so that a
/// span says which of them it lies in.
pub(crate) struct Sources {
    name: String,
    file: String,
    /// Position of the first byte, and the text.
    overrides: Vec<(usize, String)>,
}

impl Sources {
    /// Takes the texts; an override `key=value` whose value is no TOML is a bare string.
    pub(crate) fn new(name: &str, text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        let mut sources = Self {
            name: name.into(),
            file: text.into(),
            overrides: Vec::new(),
        };
        let mut position = text.len() + 1;
        for set in sets {
            let Some((key, value)) = set.split_once('=') else {
                let fault = Fault::new(
                    0..set.len(),
                    "an override needs a key and a value",
                    "no `=` here",
                )
                .help("write --set problem.length=1024");
                return Err(ConfigError::at(fault, "--set", set, 0..set.len()));
            };
            let as_given = format!("{} = {}", key.trim(), value.trim());
            let quoted = format!("{} = {}", key.trim(), toml::Value::from(value.trim()));
            let is_toml = DeTable::parse(&as_given).is_ok();
            let chosen = if is_toml || DeTable::parse(&quoted).is_err() {
                as_given
            } else {
                quoted
            };
            let length = chosen.len();
            sources.overrides.push((position, chosen));
            position += length + 1;
        }
        Ok(sources)
    }

    /// Each text padded in front with spaces up to its position, so that the parser's spans are
    /// positions.
    pub(crate) fn padded(&self) -> Vec<String> {
        let padded = |(start, text): &(usize, String)| format!("{}{text}", " ".repeat(*start));
        std::iter::once(self.file.clone())
            .chain(self.overrides.iter().map(padded))
            .collect()
    }

    /// Points a fault into the text that it lies in.
    pub(crate) fn locate(&self, fault: Fault) -> ConfigError {
        let span = fault.span.clone();
        match self
            .overrides
            .iter()
            .rev()
            .find(|(start, _)| span.start >= *start)
        {
            Some((start, text)) => ConfigError::at(
                fault,
                "--set",
                text,
                span.start - start..span.end.max(*start) - start,
            ),
            None => ConfigError::at(fault, &self.name, &self.file, span),
        }
    }
}

/// Parses the padded texts and lays later ones over earlier ones.
pub(crate) fn parse(padded: &[String]) -> Result<(DeTable<'_>, Range<usize>), Fault> {
    let mut merged: Option<(DeTable<'_>, Range<usize>)> = None;
    for text in padded {
        let table = DeTable::parse(text).map_err(|error| {
            let span = error.span().unwrap_or(0..text.len());
            Fault::new(span, format!("not TOML: {}", error.message()), "here")
        })?;
        match &mut merged {
            None => merged = Some((table.get_ref().clone(), table.span())),
            Some((base, _)) => overlay(base, table.into_inner()),
        }
    }
    Ok(merged.unwrap_or_default())
}

pub(crate) fn overlay<'t>(base: &mut DeTable<'t>, over: DeTable<'t>) {
    for (key, value) in over {
        let name = key.get_ref().clone();
        match (
            base.get_mut(name.as_ref()).map(|v| v.get_mut()),
            value.get_ref(),
        ) {
            (Some(DeValue::Table(inner)), DeValue::Table(more)) => overlay(inner, more.clone()),
            _ => {
                // Removed first, so that the key's span is the override's too.
                base.remove(name.as_ref());
                base.insert(key, value);
            }
        }
    }
}
