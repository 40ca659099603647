//! `list metrics`.

use crate::table::Table;
use experiment::{Direction, METRICS};
use serde_json::{Value, json};

/// A line a metric.
pub(super) fn table() -> Table {
    let mut table = Table::new(&["name", "unit", "better", "summary"]);
    for m in METRICS {
        table.row([m.name, m.unit, better(m.direction), m.summary]);
    }
    table
}

/// Everything the registry knows.
pub(super) fn json() -> Value {
    let entry = |m: &experiment::Metric| {
        json!({
            "name": m.name,
            "unit": m.unit,
            "better": better(m.direction),
            "summary": m.summary,
        })
    };
    METRICS.iter().map(entry).collect()
}

fn better(direction: Direction) -> &'static str {
    match direction {
        Direction::Lower => "lower",
        Direction::Higher => "higher",
        Direction::Neutral => "neither",
    }
}
