//! `list studies`.

use crate::commands::train;
use crate::failure::Failure;
use crate::table::Table;
use experiment::studies;
use serde_json::{Value, json};

/// A line a study, with the first sentence of its question.
pub(super) fn table() -> Result<Table, Failure> {
    let mut table = Table::new(&["name", "trainings", "question"]);
    for preset in studies() {
        let study = train::parse(preset, &[])?;
        let words: Vec<&str> = study.question.split_whitespace().collect();
        let prose = words.join(" ");
        let end = prose.find('?').map_or(prose.len(), |at| at + 1);
        let trainings = study.trainings().len().to_string();
        table.row([preset.name, &trainings, &prose[..end]]);
    }
    Ok(table)
}

/// Names, questions, trainings, and the TOML to start one's own from.
pub(super) fn json() -> Result<Value, Failure> {
    let entry = |preset: &experiment::Preset| {
        let study = train::parse(preset, &[])?;
        let labels: Vec<String> = study.trainings().iter().map(|t| t.folder()).collect();
        Ok(json!({
            "name": preset.name,
            "question": study.question.trim(),
            "trainings": labels,
            "toml": preset.text,
        }))
    };
    studies().iter().map(entry).collect()
}
