//! A question of its own, answered by a table.

use serde::Serialize;

/// A table under a heading of its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// What it answers: `From which length each approximation is faster than blocked`.
    pub title: String,
    /// How to read it.
    pub hint: String,
    /// The headings.
    pub columns: Vec<String>,
    /// The rows, each as long as the headings.
    pub rows: Vec<Vec<String>>,
}

impl Answer {
    /// A table of the rows of each setting, whose name is its first column where there are several.
    pub(crate) fn of(
        title: String,
        hint: &str,
        columns: &[String],
        settings: Vec<(String, Vec<Vec<String>>)>,
    ) -> Self {
        let several = settings.len() > 1;
        let mut names: Vec<String> = columns.to_vec();
        if several {
            names.insert(0, "Setting".into());
        }
        let rows = settings.into_iter().flat_map(|(setting, rows)| {
            rows.into_iter().map(move |mut row| {
                if several {
                    row.insert(0, setting.clone());
                }
                row
            })
        });
        Answer {
            title,
            hint: hint.into(),
            columns: names,
            rows: rows.collect(),
        }
    }
}
