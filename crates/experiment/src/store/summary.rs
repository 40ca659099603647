//! `summary.csv`: one line a cell, a column for each metric.

use crate::metrics::METRICS;
use crate::record::Record;

/// Columns that say which cell it is.
const CELL: [&str; 19] = [
    "workload",
    "target_entropy",
    "b",
    "h",
    "hkv",
    "nq",
    "nk",
    "d",
    "dv",
    "jagged",
    "mask",
    "pass",
    "threads",
    "variant",
    "family",
    "label",
    "exact",
    "status",
    "reason",
];

pub(super) fn csv(records: &[Record]) -> String {
    let metrics = METRICS.iter().map(|m| m.name);
    let header: Vec<&str> = CELL.into_iter().chain(metrics).collect();
    let mut text = header.join(",") + "\n";
    for record in records {
        let (shape, variant) = (&record.shape, &record.variant);
        let target = record
            .workload
            .target_entropy
            .map_or_else(String::new, |η| η.to_string());
        let status = serde_json::to_value(record.status).ok();
        let status = status
            .as_ref()
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        let mut fields = vec![record.workload.label.clone(), target];
        fields.extend(
            [
                shape.b, shape.h, shape.hkv, shape.nq, shape.nk, shape.d, shape.dv,
            ]
            .map(|n| n.to_string()),
        );
        fields.extend([
            shape.jagged.to_string(),
            record.mask.clone(),
            record.pass.to_string(),
            record.threads.to_string(),
        ]);
        fields.extend([
            variant.name.clone(),
            variant.family.clone(),
            variant.label.clone(),
        ]);
        fields.extend([variant.exact.to_string(), status.to_owned()]);
        fields.push(record.reason.clone().unwrap_or_default());
        fields.extend(
            METRICS
                .iter()
                .map(|m| (m.value)(record).map_or_else(String::new, |x| x.to_string())),
        );
        let quoted: Vec<_> = fields.iter().map(|field| quote(field)).collect();
        text += &(quoted.join(",") + "\n");
    }
    text
}

/// A field as RFC 4180 has it.
fn quote(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
