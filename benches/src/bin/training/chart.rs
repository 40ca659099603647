//! The chart of a run: times over PyTorch's, cell by cell.

use crate::Failure;
use crate::record::{OURS, Row};
use report::{ComparedCell, Comparison, Ratio, Section, comparison};
use std::path::Path;

/// Writes `training.svg` and `training.png`; nothing where no ratio is known.
pub(crate) fn write(rows: &[Row], folder: &Path) -> Result<(), Failure> {
    let names = [
        format!("{OURS}, exact"),
        format!("{OURS}, materialised"),
        "PyTorch sdpa".into(),
        "PyTorch naive".into(),
    ];
    let name = |row: &Row| {
        Some(match row.contender.as_str() {
            "blocked" => &names[0],
            "naive-gemm" => &names[1],
            "sdpa" => &names[2],
            "naive" => &names[3],
            _ => return None,
        })
    };
    let mut sections = Vec::new();
    let titles = [("step", "Training step"), ("evaluation", "Full ranking")];
    for (work, title) in titles {
        let mut cells: Vec<ComparedCell> = Vec::new();
        for row in rows.iter().filter(|row| row.work == work) {
            if cells.last().is_none_or(|cell| cell.label != row.cell) {
                cells.push(ComparedCell {
                    label: row.cell.clone(),
                    panels: vec![Vec::new()],
                });
            }
            if let (Some(cell), Some(ratio), Some(name)) =
                (cells.last_mut(), row.to_baseline, name(row))
            {
                cell.panels[0].push(Ratio {
                    name: name.clone(),
                    ratio: ratio.median,
                    interval: ratio.interval,
                });
            }
        }
        cells.retain(|cell| !cell.panels[0].is_empty());
        if !cells.is_empty() {
            sections.push(Section {
                title: title.into(),
                cells,
            });
        }
    }
    if sections.is_empty() {
        return Ok(());
    }
    let ours = rows.iter().filter(|row| row.contender == "blocked");
    let ratios: Vec<f64> = ours
        .filter_map(|row| Some(row.to_baseline?.median.ln()))
        .collect();
    let mean = (ratios.iter().sum::<f64>() / ratios.len().max(1) as f64).exp();
    let threads = rows.first().map_or(0, |row| row.threads);
    let chart = comparison(&Comparison {
        title: format!("SASRec trains and ranks {:.1} times as fast as in PyTorch", 1.0 / mean),
        subtitle: "Median of interleaved rounds on the same machine, from the same parameters; batch x length, all \
                   histories that long; ml-1m's as they are. 1 is the fastest of PyTorch's forms."
            .into(),
        reference: "PyTorch".into(),
        names: names.to_vec(),
        panels: vec![format!("{threads} threads")],
        sections,
    });
    std::fs::write(folder.join("training.svg"), chart.svg()?)?;
    chart.write_png(&folder.join("training.png"))?;
    Ok(())
}
