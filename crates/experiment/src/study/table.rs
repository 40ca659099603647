//! `summary.csv`: a row an outcome, for spreadsheets.

use super::outcome::{Origin, Outcome};
use std::fmt::Write;

/// The rows as text.
pub(super) fn table(rows: &[Outcome]) -> String {
    let metrics = rows.first().map(|row| &row.test.metrics[..]);
    let metrics: Vec<_> = metrics.unwrap_or_default().iter().map(|m| m.0).collect();
    let mut text = String::from(
        "model,variant,origin,seed,parameters,epochs,best_epoch,training_seconds,loss,validation",
    );
    for metric in &metrics {
        let _ = write!(text, ",{metric},{metric} low,{metric} high");
    }
    text += ",coverage,difference,difference low,difference high,p\n";
    for row in rows {
        let made = &row.made;
        let origin = match made.origin {
            Origin::Floor => "floor",
            Origin::Trained => "trained",
            Origin::Swapped => "swapped",
            Origin::FineTuned => "fine-tuned",
        };
        let cells = [
            made.model.clone(),
            made.variant.clone().unwrap_or_default(),
            origin.into(),
            made.seed.to_string(),
            made.parameters.to_string(),
            made.epochs.to_string(),
            or_empty(made.best_epoch),
            format!("{:.1}", made.training_seconds),
            or_empty(made.loss),
            or_empty(made.validation),
        ];
        text += &cells.join(",");
        for &metric in &metrics {
            let _ = match row.estimate(metric) {
                Some(e) => write!(text, ",{:.5},{:.5},{:.5}", e.value, e.low, e.high),
                None => write!(text, ",,,"),
            };
        }
        let _ = write!(text, ",{}", or_empty(row.test.coverage.last().map(|c| c.1)));
        let _ = match &row.against {
            Some(against) => {
                let d = against.test.difference;
                let (low, high, p) = (d.low, d.high, against.test.p);
                writeln!(text, ",{:.5},{low:.5},{high:.5},{p:.4}", d.value)
            }
            None => writeln!(text, ",,,,"),
        };
    }
    text
}

fn or_empty<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
