//! The chart of a run: each library's time over PyTorch's, cell by cell.

use crate::record::{OURS, Row};
use crate::table::cells;
use measure::RatioSummary;
use peers::SOFTMAX;
use report::{ComparedCell, Comparison, Ratio, Section, comparison};
use std::error::Error;
use std::path::Path;

/// Libraries in the order of the legend; the baselines are PyTorch's.
const LIBRARIES: [&str; 6] = [
    OURS,
    "zentorch",
    "OpenVINO",
    "ONNX Runtime",
    "burn",
    "candle",
];

/// What is drawn together.
const SECTIONS: [(&str, &str, &str); 6] = [
    ("Forward, f32", "forward", "f32"),
    ("Forward and backward, f32", "training", "f32"),
    ("Decode, f32: one query over a cache", "decode", "f32"),
    ("Forward, bf16", "forward", "bf16"),
    ("Forward, f32: jagged, block masks", "forward", "f32"),
    ("Linear attention, f32", "", ""),
];

/// Writes `peers.svg` and `peers.png`; nothing where no ratio is known.
pub(crate) fn write(rows: &[Row], folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut threads: Vec<usize> = rows.iter().map(|r| r.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let mut sections: Vec<Section> = (0..SECTIONS.len())
        .map(|index| section(index, rows, &threads))
        .collect();
    sections.retain(|section| !section.cells.is_empty());
    if sections.is_empty() {
        return Ok(());
    }
    let chart = comparison(&Comparison {
        title: title(rows),
        subtitle: "Median of interleaved rounds on the same machine, outputs gated against an f64 \
                   oracle. Cells are B,H,N,D; the digits are our time over PyTorch's."
            .into(),
        reference: "PyTorch".into(),
        names: LIBRARIES.map(str::to_owned).into(),
        panels: threads
            .iter()
            .map(|n| format!("{n} thread{}", if *n == 1 { "" } else { "s" }))
            .collect(),
        sections,
    });
    std::fs::write(folder.join("peers.svg"), chart.svg()?)?;
    chart.write_png(&folder.join("peers.png"))?;
    Ok(())
}

fn belongs(row: &Row) -> Option<usize> {
    if row.attention != SOFTMAX {
        return Some(SECTIONS.len() - 1);
    }
    let masked = !matches!(row.mask.as_str(), "full" | "causal");
    if masked {
        return Some(SECTIONS.len() - 2);
    }
    SECTIONS
        .iter()
        .position(|(_, work, dtype)| *work == row.work && *dtype == row.dtype)
}

/// The cells of a section, the one where ours gains most first.
fn section(index: usize, rows: &[Row], threads: &[usize]) -> Section {
    let mine: Vec<&Row> = rows.iter().filter(|r| belongs(r) == Some(index)).collect();
    let mut compared: Vec<(f64, ComparedCell)> = Vec::new();
    for cell in cells(&mine) {
        let label = label(cell[0]);
        let ratios: Vec<Ratio> = LIBRARIES
            .iter()
            .filter_map(|library| {
                let RatioSummary {
                    median, interval, ..
                } = fastest(&cell, library)?.to_baseline?;
                Some(Ratio {
                    name: (*library).into(),
                    ratio: median,
                    interval,
                })
            })
            .collect();
        let Some(panel) = threads.iter().position(|t| *t == cell[0].threads) else {
            continue;
        };
        let ours = ratios.iter().find(|r| r.name == OURS);
        let rank = ours.map_or(f64::INFINITY, |r| r.ratio);
        let place = compared.iter().position(|(_, c)| c.label == label);
        let slot = place.unwrap_or_else(|| {
            let panels = vec![Vec::new(); threads.len()];
            compared.push((rank, ComparedCell { label, panels }));
            compared.len() - 1
        });
        // The last panel, that of most threads, decides the order.
        compared[slot].0 = rank;
        compared[slot].1.panels[panel] = ratios;
    }
    compared.retain(|(_, cell)| cell.panels.iter().any(|panel| !panel.is_empty()));
    compared.sort_by(|a, b| a.0.total_cmp(&b.0));
    Section {
        title: SECTIONS[index].0.into(),
        cells: compared.into_iter().map(|(_, cell)| cell).collect(),
    }
}

/// The fastest contender of a library in a cell.
fn fastest<'a>(cell: &[&'a Row], library: &str) -> Option<&'a Row> {
    let of_library = cell.iter().filter(|r| r.library == library);
    of_library
        .filter(|r| r.to_baseline.is_some())
        .min_by(|a, b| f64::total_cmp(&time(a), &time(b)))
        .copied()
}

fn time(row: &Row) -> f64 {
    row.median_ms.unwrap_or(f64::INFINITY)
}

fn label(row: &Row) -> String {
    let Row {
        b, h, nk, d, mask, ..
    } = row;
    let mask = match mask.split_once(' ') {
        None if mask == "full" => "dense".into(),
        None => mask.clone(),
        Some(("blocks", sparsity)) => format!("{sparsity} sparse"),
        Some(_) => "jagged".into(),
    };
    let attention = match (row.attention.as_str(), row.work.as_str()) {
        (SOFTMAX, _) => String::new(),
        (name, "training") => format!(" {name} with backward"),
        (name, _) => format!(" {name}"),
    };
    format!("{b},{h},{nk},{d} {mask}{attention}")
}

/// How often ours is ahead of every peer, and how fast against PyTorch.
fn title(rows: &[Row]) -> String {
    let all: Vec<&Row> = rows.iter().collect();
    let ours: Vec<&Row> = cells(&all)
        .iter()
        .filter_map(|cell| fastest(cell, OURS))
        .collect();
    let ahead = ours
        .iter()
        .filter(|r| r.to_best.is_some_and(|ratio| ratio.median < 1.0))
        .count();
    let ratios = ours.iter().filter_map(|r| Some(r.to_baseline?.median.ln()));
    let mean = (ratios.sum::<f64>() / ours.len().max(1) as f64).exp();
    format!(
        "{:.1} times as fast as PyTorch over {} cells, ahead of every peer in {ahead} of them",
        1.0 / mean,
        ours.len()
    )
}
