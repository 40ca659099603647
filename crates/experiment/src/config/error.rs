//! What is wrong with a config, and where.

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use std::fmt;
use std::ops::Range;

/// A fault in a config: message, the place it points at, and what to do.
///
/// Printed through miette it shows the lines concerned, in the file or in the override that brought
/// them in.
#[derive(Debug)]
pub struct ConfigError {
    message: String,
    help: Option<String>,
    place: Option<Box<Place>>,
}

#[derive(Debug)]
struct Place {
    source: NamedSource<String>,
    label: LabeledSpan,
}

impl ConfigError {
    /// A fault of no place in a text: a file that cannot be read.
    pub(crate) fn unplaced(message: String, help: &str) -> Self {
        Self {
            message,
            help: Some(help.into()),
            place: None,
        }
    }

    pub(crate) fn at(fault: Fault, name: &str, text: &str, span: Range<usize>) -> Self {
        // A label beyond the text (an unclosed bracket at its end) would not be drawn.
        let start = span.start.min(text.len());
        let length = span.end.min(text.len()).saturating_sub(start);
        let label = LabeledSpan::new(Some(fault.label), start, length);
        let source = NamedSource::new(name, text.to_owned());
        Self {
            message: fault.message,
            help: fault.help,
            place: Some(Box::new(Place { source, label })),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

impl Diagnostic for ConfigError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place
            .as_ref()
            .map(|place| &place.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        Some(Box::new(std::iter::once(place.label.clone())))
    }
}

/// A fault before it is known which text its span lies in.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
}

impl Fault {
    pub(crate) fn new(
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            span,
            message: message.into(),
            label: label.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Names the nearest of the candidates, or lists them all.
    pub(crate) fn suggest(self, name: &str, candidates: &[&str]) -> Self {
        let all = candidates.join(", ");
        let help = match attention_variants::nearest(name, candidates) {
            Some(nearest) => format!("did you mean `{nearest}`? Known: {all}"),
            None => format!("known: {all}"),
        };
        self.help(help)
    }
}
