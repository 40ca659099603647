//! `list experiments`.

use crate::failure::Failure;
use crate::request;
use crate::table::Table;
use experiment::experiments;
use serde_json::{Value, json};

/// A line an experiment, with the first sentence of its question.
pub(super) fn table() -> Result<Table, Failure> {
    let mut table = Table::new(&["name", "question"]);
    for preset in experiments() {
        let question = request::parse(preset, &[])?.question;
        let words: Vec<&str> = question.split_whitespace().collect();
        let prose = words.join(" ");
        let end = prose.find(['?', '.']).map_or(prose.len(), |at| at + 1);
        table.row([preset.name, &prose[..end]]);
    }
    Ok(table)
}

/// Names, questions, and the TOML to start one's own from.
pub(super) fn json() -> Result<Value, Failure> {
    let entry = |preset: &experiment::Preset| {
        let question = request::parse(preset, &[])?.question;
        Ok(json!({
            "name": preset.name,
            "question": question.trim(),
            "toml": preset.text,
        }))
    };
    experiments().iter().map(entry).collect()
}
