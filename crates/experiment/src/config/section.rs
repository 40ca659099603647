//! Reading typed values out of a parsed table, each with its place.

use super::error::Fault;
use super::keys;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A table of the config; the empty name is that of the top level.
pub(super) struct Section<'t> {
    name: &'static str,
    table: Option<&'t DeTable<'t>>,
    span: Range<usize>,
}

/// One value under its key.
pub(super) struct Item<'t> {
    pub(super) key: String,
    pub(super) span: Range<usize>,
    value: &'t DeValue<'t>,
}

impl<'t> Section<'t> {
    pub(super) fn top(table: &'t DeTable<'t>, span: Range<usize>) -> Result<Self, Fault> {
        Self {
            name: "",
            table: Some(table),
            span,
        }
        .checked()
    }

    /// A table within this one; an absent one reads as empty.
    pub(super) fn section(&self, name: &'static str) -> Result<Self, Fault> {
        match self.get(name) {
            None => Ok(Self {
                name,
                table: None,
                span: self.span.clone(),
            }),
            Some(item) => {
                let table = item.table()?;
                Self {
                    name,
                    table: Some(table),
                    span: item.span,
                }
                .checked()
            }
        }
    }

    /// Refuses keys that nothing reads.
    fn checked(self) -> Result<Self, Fault> {
        let known = keys::of_section(self.name);
        let unknown = self
            .entries()
            .find(|(key, _)| !known.contains(&key.get_ref().as_ref()));
        if let (false, Some((key, _))) = (known.is_empty(), unknown) {
            let place = if self.name.is_empty() {
                String::new()
            } else {
                format!(" in [{}]", self.name)
            };
            let name = key.get_ref();
            return Err(Fault::new(
                key.span(),
                format!("unknown key `{name}`{place}"),
                "not a key",
            )
            .suggest(name, &known));
        }
        Ok(self)
    }

    pub(super) fn entries(
        &self,
    ) -> impl Iterator<Item = (&'t Spanned<std::borrow::Cow<'t, str>>, Item<'t>)> {
        self.table.into_iter().flatten().map(|(key, value)| {
            (
                key,
                Item {
                    key: key.get_ref().to_string(),
                    span: value.span(),
                    value: value.get_ref(),
                },
            )
        })
    }

    pub(super) fn get(&self, key: &'static str) -> Option<Item<'t>> {
        let value = self.table?.get(key)?;
        let path = if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        };
        Some(Item {
            key: path,
            span: value.span(),
            value: value.get_ref(),
        })
    }

    pub(super) fn require(&self, key: &'static str) -> Result<Item<'t>, Fault> {
        self.get(key).ok_or_else(|| {
            let place = if self.name.is_empty() {
                String::new()
            } else {
                format!("{}.", self.name)
            };
            let start = self.span.start;
            let fault = Fault::new(
                start..start + 1,
                format!("`{place}{key}` is missing"),
                "in this table",
            );
            match keys::find(self.name, key) {
                Some(known) => fault.help(format!("{}: {}", known.accepts, known.summary)),
                None => fault,
            }
        })
    }
}

impl<'t> Item<'t> {
    pub(super) fn wrong(&self, expected: impl fmt::Display) -> Fault {
        let found = match self.value {
            DeValue::String(text) => format!("the string \"{text}\""),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            other => format!("a {}", other.type_str()),
        };
        let message = format!("`{}` is {found}", self.key);
        Fault::new(self.span.clone(), message, format!("expected {expected}"))
    }

    pub(super) fn table(&self) -> Result<&'t DeTable<'t>, Fault> {
        self.value
            .as_table()
            .ok_or_else(|| self.wrong(format!("a table [{}]", self.key)))
    }

    /// As the section of a variant, whose keys the registry checks.
    pub(super) fn open_section(&self) -> Result<Section<'t>, Fault> {
        let table = Some(self.table()?);
        Ok(Section {
            name: "variants.",
            table,
            span: self.span.clone(),
        })
    }

    pub(super) fn text(&self) -> Result<&'t str, Fault> {
        self.value.as_str().ok_or_else(|| self.wrong("a string"))
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Result<u64, Fault> {
        let expected = || {
            let (low, high) = (range.start(), range.end());
            if *high >= u64::MAX / 2 {
                format!("a whole number from {low} on")
            } else {
                format!("a whole number from {low} to {high}")
            }
        };
        let parsed = self
            .value
            .as_integer()
            .and_then(|i| u64::from_str_radix(i.as_str(), i.radix()).ok());
        parsed
            .filter(|n| range.contains(n))
            .ok_or_else(|| self.wrong(expected()))
    }

    pub(super) fn size(&self) -> Result<usize, Fault> {
        // A length beyond this could not be held in memory, and sums of such products stay within u64.
        Ok(self.integer(1..=1 << 24)? as usize)
    }

    pub(super) fn float(&self, expected: &str, accept: impl Fn(f64) -> bool) -> Result<f64, Fault> {
        let text = match self.value {
            DeValue::Integer(number) => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return Err(self.wrong(expected)),
        };
        let parsed = text
            .parse()
            .ok()
            .filter(|x: &f64| x.is_finite() && accept(*x));
        parsed.ok_or_else(|| self.wrong(expected))
    }

    /// A scalar as the text that a variant's parameter parses.
    pub(super) fn scalar(&self) -> Result<String, Fault> {
        match self.value {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) => Ok(number.as_str().to_owned()),
            DeValue::Float(number) => Ok(number.as_str().to_owned()),
            DeValue::Boolean(truth) => Ok(truth.to_string()),
            _ => Err(self.wrong("a number or a string, or a list of them")),
        }
    }

    /// The values of an axis: one scalar, or a list that is not empty and repeats nothing.
    pub(super) fn axis<T: PartialEq>(
        &self,
        read: impl Fn(&Item<'t>) -> Result<T, Fault>,
    ) -> Result<Vec<Placed<T>>, Fault> {
        let place = |item: &Item<'t>| {
            Ok(Placed {
                value: read(item)?,
                span: item.span.clone(),
            })
        };
        let DeValue::Array(list) = self.value else {
            return Ok(vec![place(self)?]);
        };
        if list.is_empty() {
            let message = format!("`{}` is an empty list", self.key);
            return Err(
                Fault::new(self.span.clone(), message, "expected at least one value")
                    .help("an axis without values has no cells; leave the key out for its default"),
            );
        }
        let mut values: Vec<Placed<T>> = Vec::with_capacity(list.len());
        for entry in list.iter() {
            let item = Item {
                key: self.key.clone(),
                span: entry.span(),
                value: entry.get_ref(),
            };
            let value = place(&item)?;
            if values.iter().any(|v| v.value == value.value) {
                let message = format!("`{}` names a value twice", self.key);
                return Err(Fault::new(item.span, message, "stands in the list already")
                    .help("every cell is measured once; remove the repetition"));
            }
            values.push(value);
        }
        Ok(values)
    }
}

/// The values of an axis that may be left out.
pub(super) fn values<'t, T: PartialEq>(
    item: Option<Item<'t>>,
    read: impl Fn(&Item<'t>) -> Result<T, Fault>,
) -> Result<Option<Vec<T>>, Fault> {
    let placed = item.map(|item| item.axis(read)).transpose()?;
    Ok(placed.map(|all| all.into_iter().map(|p| p.value).collect()))
}
