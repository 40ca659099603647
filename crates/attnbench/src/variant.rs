//! A variant as it is named on the command line: `NAME` or `NAME:key=value,key=value`.

use crate::failure::Failure;
use attention::variant::Value;
use attention_variants::Configured;

/// A variant's name with the settings that were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VariantArg {
    /// Name in the registry, unchecked.
    pub(crate) name: String,
    /// `(key, value)` as they were given.
    pub(crate) settings: Vec<(String, String)>,
}

impl VariantArg {
    /// Adds settings of the form `key=value`.
    pub(crate) fn with(mut self, settings: &[(String, String)]) -> Self {
        self.settings.extend_from_slice(settings);
        self
    }

    /// Asks the registry.
    pub(crate) fn configure(&self) -> Result<Configured, Failure> {
        let settings = self.settings.iter();
        let pairs = settings.map(|(key, value)| (key.as_str(), value.as_str()));
        Ok(Configured::new(&self.name, pairs)?)
    }
}

/// Parses `NAME` or `NAME:key=value,key=value`.
pub(crate) fn parse(text: &str) -> Result<VariantArg, String> {
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    let parts = settings.split(',').filter(|part| !part.is_empty());
    Ok(VariantArg {
        name: name.to_owned(),
        settings: parts.map(parse_setting).collect::<Result<_, _>>()?,
    })
}

/// Parses `key=value`.
pub(crate) fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("`{text}` is no `key=value`")),
    }
}

/// A parameter's value in JSON.
pub(crate) fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Integer(n) => n.into(),
        Value::Float(x) => x.into(),
        Value::Word(w) => w.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_name() {
        let plain = parse("blocked").unwrap();
        assert_eq!((plain.name.as_str(), plain.settings.len()), ("blocked", 0));
        let two = parse("random-blocks:density=0.5,seed=3").unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(two.settings, [pair("density", "0.5"), pair("seed", "3")]);
        assert!(
            parse("x:window")
                .unwrap_err()
                .contains("`window` is no `key=value`")
        );
    }
}
