//! `list workloads`.

use crate::table::Table;
use experiment::{Needs, WORKLOADS};
use serde_json::{Value, json};

/// What each is like, then where it comes from.
pub(super) fn text() -> String {
    let mut table = Table::new(&["name", "least D", "reads", "summary"]);
    let mut sources = String::new();
    for w in WORKLOADS {
        let reads = needs(w.needs).unwrap_or("-");
        table.row([w.name, &w.least_dimension.to_string(), reads, w.summary]);
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
            "needs": needs(w.needs),
        })
    };
    WORKLOADS.iter().map(entry).collect()
}

fn needs(needs: Needs) -> Option<&'static str> {
    match needs {
        Needs::Nothing => None,
        Needs::Log => Some("log"),
        Needs::Tensors => Some("tensors"),
    }
}
