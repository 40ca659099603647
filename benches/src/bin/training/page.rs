//! The table of a run, and what was aimed at.

use crate::record::{OURS, Row};
use std::fmt::Write;

/// The whole page.
pub(crate) fn page(rows: &[Row]) -> String {
    let mut page = String::from("# Training and evaluation, ours and PyTorch's\n\n");
    let _ = writeln!(
        page,
        "SASRec, D = 50, two blocks, one head, dropout 0.2 of activations and attention weights, binary \
         cross-entropy against one negative, Adam. Interleaved rounds, medians in ms with their 95 % intervals; \
         ratios within rounds to the fastest of PyTorch's forms that do the same, below 1 where ours is faster. \
         All begin with the same parameters, and a time is given only where logits agree with ours and the loss \
         falls (ranks are equal). Histories of `BxN` are all N long, so that skipping padding gives nothing; \
         those of ml-1m are as they are, ours end to end, PyTorch's padded behind to the longest of the batch. \
         Memory is that of the model, its optimiser and a step.\n"
    );
    if let Some(row) = rows.iter().find(|row| !row.is_ours()) {
        let _ = writeln!(
            page,
            "{} threads, {}; PyTorch {}, its threads bound, one a core.\n",
            row.threads, row.placement, row.version
        );
    }
    let _ = writeln!(
        page,
        "| cell | library | attention | ms | to PyTorch | MiB | loss, first to last | logits' distance | equal ranks |\n\
         |---|---|---|--:|--:|--:|--:|--:|--:|"
    );
    for row in rows {
        let _ = writeln!(page, "{}", line(row));
    }
    let _ = writeln!(
        page,
        "\n`naive` and `naive-gemm` materialise the scores, ours for the part of the batch that a worker has; `sdpa` \
         is PyTorch's `scaled_dot_product_attention`, which falls back to the materialising form under dropout; \
         `sdpa-nodrop` leaves dropout of the weights out and is another training; `sdpa-sorted` batches users by \
         length.\n"
    );
    aims(&mut page, rows);
    page
}

fn line(row: &Row) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let time = row.median_ms.zip(row.interval_ms).map_or_else(
        || row.reason.clone().unwrap_or_else(|| "-".into()),
        |(median, (low, high))| format!("{median:.1} ({low:.1}-{high:.1})"),
    );
    let ratio = row.to_baseline.map(|ratio| {
        let (low, high) = ratio.interval;
        format!("{:.3} ({low:.3}-{high:.3})", ratio.median)
    });
    let cells = [
        row.cell.clone(),
        row.library.clone(),
        row.contender.clone(),
        time,
        or_dash(ratio),
        or_dash(
            row.peak_bytes
                .map(|bytes| format!("{:.1}", bytes / 1_048_576.0)),
        ),
        or_dash(
            row.losses
                .map(|(first, last)| format!("{first:.3} to {last:.3}")),
        ),
        or_dash(row.logits_error.map(|error| format!("{error:.0e}"))),
        or_dash(row.equal_ranks.map(|share| format!("{share:.4}"))),
    ];
    format!("| {} |", cells.join(" | "))
}

/// Cell and the ratio of times aimed at.
const TIMES: [(&str, f64); 3] = [
    ("128x200", 0.55),
    ("32x1000", 0.35),
    ("ml-1m-evaluation", 0.5),
];

/// Cell and the ratio of peaks aimed at, to PyTorch's materialising form.
const MEMORY: (&str, f64) = ("32x1000", 0.25);

fn aims(page: &mut String, rows: &[Row]) {
    let _ = writeln!(page, "| aim | reached | aimed at | |\n|---|--:|--:|---|");
    let find = |cell: &str, library: &str, contender: &str| {
        let mut all = rows.iter();
        all.find(|r| r.cell == cell && r.library == library && r.contender == contender)
    };
    let mut line = |what: String, reached: Option<f64>, aim: f64| {
        let verdict = match reached {
            Some(reached) if reached <= aim => "met",
            Some(_) => "missed",
            None => "not measured",
        };
        let reached = reached.map_or_else(|| "-".into(), |reached| format!("{reached:.3}"));
        let _ = writeln!(page, "| {what} | {reached} | {aim} | {verdict} |");
    };
    for (cell, aim) in TIMES {
        let reached = find(cell, OURS, "blocked").and_then(|row| Some(row.to_baseline?.median));
        line(format!("{cell}: time"), reached, aim);
    }
    let (cell, aim) = MEMORY;
    let peak = |library, contender| find(cell, library, contender).and_then(|row| row.peak_bytes);
    let reached = peak(OURS, "blocked").zip(peak("PyTorch", "naive"));
    let what = format!("{cell}: peak memory, to PyTorch's naive");
    line(what, reached.map(|(ours, theirs)| ours / theirs), aim);
}
