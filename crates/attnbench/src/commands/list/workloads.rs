//! `list workloads`.

use crate::table::Table;
use experiment::WORKLOADS;
use serde_json::{Value, json};

/// What each is like, then where it comes from.
pub(super) fn text() -> String {
    let mut table = Table::new(&["name", "least D", "log", "summary"]);
    let mut sources = String::new();
    for w in WORKLOADS {
        let log = if w.needs_log { "reads one" } else { "-" };
        table.row([w.name, &w.least_dimension.to_string(), log, w.summary]);
        sources += &format!("\n\n{} ({})\n  {}", w.name, w.label, w.source);
    }
    format!("{table}{sources}")
}

/// Everything the registry knows.
pub(super) fn json() -> Value {
    let entry = |w: &&experiment::Workload| {
        json!({
            "name": w.name,
            "label": w.label,
            "summary": w.summary,
            "source": w.source,
            "least_dimension": w.least_dimension,
            "needs_log": w.needs_log,
        })
    };
    WORKLOADS.iter().map(entry).collect()
}
