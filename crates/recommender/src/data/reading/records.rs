//! Records of fields: lines split by a separator, with the quoting of RFC 4180 where the format has it.

use std::borrow::Cow;
use std::path::Path;

use crate::data::error::{Location, LogError, shortened};

/// What stands between fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    /// One character; fields may be quoted, and then hold it and line breaks (RFC 4180, section 2).
    Quoted(char),
    /// Exactly this text.
    Text(&'static str),
    /// Any run of white space.
    Whitespace,
}

/// Reads the records of a text one after the other; blank lines are passed over.
pub(super) struct Records<'a, 'p> {
    pub(super) path: &'p Path,
    rest: &'a str,
    separator: Separator,
    /// Lines consumed so far.
    consumed: usize,
    /// Line, from 1, on which the current record starts.
    pub(super) line: usize,
    /// Text of the current record.
    pub(super) text: &'a str,
    /// Fields of the current record.
    pub(super) fields: Vec<Cow<'a, str>>,
}

impl<'a, 'p> Records<'a, 'p> {
    pub(super) fn new(path: &'p Path, text: &'a str, separator: Separator) -> Self {
        Self {
            path,
            rest: text,
            separator,
            consumed: 0,
            line: 0,
            text: "",
            fields: Vec::new(),
        }
    }

    /// Steps to the next record; `false` after the last.
    pub(super) fn advance(&mut self) -> Result<bool, LogError> {
        loop {
            if self.rest.is_empty() {
                return Ok(false);
            }
            let (line, after) = split_line(self.rest);
            self.line = self.consumed + 1;
            self.fields.clear();
            if let Separator::Quoted(delimiter) = self.separator
                && line.contains('"')
            {
                self.quoted(delimiter)?;
                return Ok(true);
            }
            self.consumed += 1;
            self.rest = after;
            self.text = line;
            if line.trim().is_empty() {
                continue;
            }
            match self.separator {
                Separator::Quoted(delimiter) => {
                    self.fields.extend(line.split(delimiter).map(Cow::Borrowed))
                }
                Separator::Text(text) => self.fields.extend(line.split(text).map(Cow::Borrowed)),
                Separator::Whitespace => self
                    .fields
                    .extend(line.split_whitespace().map(Cow::Borrowed)),
            }
            return Ok(true);
        }
    }

    /// A field of the current record, for an error.
    pub(super) fn at(&self, field: usize, name: &str) -> Box<Location> {
        Box::new(Location {
            path: self.path.to_path_buf(),
            line: self.line,
            column: field + 1,
            name: name.to_string(),
        })
    }

    /// One record from `rest` that holds a quote somewhere on its first line.
    fn quoted(&mut self, delimiter: char) -> Result<(), LogError> {
        let start = self.rest;
        loop {
            let ended = if let Some(inner) = self.rest.strip_prefix('"') {
                let (field, after) = self.close_quote(inner)?;
                self.fields.push(field);
                self.rest = after;
                !self.step_over(delimiter)?
            } else {
                let end = self.rest.find([delimiter, '\n']).unwrap_or(self.rest.len());
                let field = &self.rest[..end];
                let at_line_end = !self.rest[end..].starts_with(delimiter);
                self.fields.push(Cow::Borrowed(if at_line_end {
                    field.strip_suffix('\r').unwrap_or(field)
                } else {
                    field
                }));
                self.rest = &self.rest[end..];
                !self.step_over(delimiter)?
            };
            if ended {
                let record = &start[..start.len() - self.rest.len()];
                self.consumed += record.matches('\n').count();
                self.text = record.trim_end_matches(['\r', '\n']);
                return Ok(());
            }
        }
    }

    /// The text up to the closing quote, `""` within it read as `"`, and what follows.
    fn close_quote(&self, inner: &'a str) -> Result<(Cow<'a, str>, &'a str), LogError> {
        let mut from = 0;
        let mut doubled = false;
        while let Some(quote) = inner[from..].find('"').map(|at| from + at) {
            let after = &inner[quote + 1..];
            if !after.starts_with('"') {
                let field = &inner[..quote];
                let field = if doubled {
                    Cow::Owned(field.replace("\"\"", "\""))
                } else {
                    Cow::Borrowed(field)
                };
                return Ok((field, after));
            }
            doubled = true;
            from = quote + 2;
        }
        Err(LogError::UnclosedQuote {
            at: self.at(self.fields.len(), "quoted field"),
        })
    }

    /// Past a delimiter (`true`) or the end of the record (`false`).
    fn step_over(&mut self, delimiter: char) -> Result<bool, LogError> {
        if let Some(after) = self.rest.strip_prefix(delimiter) {
            self.rest = after;
            return Ok(true);
        }
        let ended = ["\r\n", "\n"]
            .iter()
            .find_map(|end| self.rest.strip_prefix(end));
        match ended {
            Some(after) => self.rest = after,
            None if self.rest.is_empty() || self.rest == "\r" => self.rest = "",
            None => {
                let found = self
                    .rest
                    .split([delimiter, '\n'])
                    .next()
                    .unwrap_or_default();
                let at = self.at(self.fields.len().saturating_sub(1), "quoted field");
                return Err(LogError::StrayQuote {
                    at,
                    found: shortened(found),
                });
            }
        }
        Ok(false)
    }
}

/// The first line without its end, and the rest.
fn split_line(text: &str) -> (&str, &str) {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (line.strip_suffix('\r').unwrap_or(line), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(usize, Vec<String>)> {
        let mut records = Records::new(Path::new("t.csv"), text, Separator::Quoted(','));
        let mut found = Vec::new();
        while records.advance().unwrap() {
            found.push((
                records.line,
                records
                    .fields
                    .iter()
                    .map(|field| field.to_string())
                    .collect(),
            ));
        }
        found
    }

    #[test]
    fn quoted_fields_hold_delimiters_quotes_and_line_breaks_and_lines_stay_counted() {
        let text = "a,b\r\n\"x, y\",\"say \"\"so\"\"\"\r\n\n\"two\nlines\",2\nlast,\"\"";
        let expected: Vec<(usize, Vec<String>)> = [
            (1, ["a", "b"]),
            (2, ["x, y", "say \"so\""]),
            (4, ["two\nlines", "2"]),
            (6, ["last", ""]),
        ]
        .map(|(line, fields)| (line, fields.map(String::from).to_vec()))
        .to_vec();
        assert_eq!(all(text), expected);
    }

    #[test]
    fn a_quote_inside_an_unquoted_field_is_text() {
        assert_eq!(
            all("5\" nail,2\r\n"),
            vec![(1, vec!["5\" nail".to_string(), "2".to_string()])]
        );
        assert_eq!(
            all("a,,\"\"\r\n"),
            vec![(1, vec![String::from("a"), String::new(), String::new()])]
        );
        assert_eq!(all("\"a\",")[0].1, ["a", ""]);
    }

    #[test]
    fn open_and_stray_quotes_say_where() {
        let failed = |text| {
            let mut records = Records::new(Path::new("t.csv"), text, Separator::Quoted(','));
            loop {
                match records.advance() {
                    Ok(true) => {}
                    Ok(false) => return String::new(),
                    Err(error) => return error.to_string(),
                }
            }
        };
        assert_eq!(
            failed("a,b\nc,\"d\n"),
            "t.csv, line 2, column 2 (quoted field): found an opening quote and no closing one before the end of the file, \
             expected `\"`; close or remove it"
        );
        assert_eq!(
            failed("\"a\"b,c\n"),
            "t.csv, line 1, column 1 (quoted field): found `b` after the closing quote, expected the delimiter or the end of \
             the line; write a quote within a quoted field as `\"\"`"
        );
    }
}
