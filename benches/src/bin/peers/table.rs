//! The table of a run: times, ratios with intervals, targets beside them.

use crate::cells::{Group, Plan, Target};
use crate::record::{Row, Status};
use std::fmt::Write;

/// The whole page.
pub(crate) fn page(plan: &Plan, rows: &[Row]) -> String {
    let mut page = String::from("# Ours and the peers\n\n");
    let _ = writeln!(
        page,
        "Interleaved rounds on the same cells; medians in ms, ratios within rounds with their 95 % \
         intervals, below 1 where ours is faster. `benches/peers/README.md` says what is fair.\n"
    );
    if let Some(row) = rows.iter().find(|row| row.is_ours()) {
        let placement = &row.placement;
        let _ = writeln!(
            page,
            "Threads: {placement}; those of PyTorch and zentorch are bound, one a core, where there \
             are several.\n"
        );
    }
    let _ = writeln!(page, "{}\n", versions(rows));
    for group in &plan.group {
        let of_group: Vec<&Row> = rows.iter().filter(|r| r.group == group.name).collect();
        if !of_group.is_empty() {
            let _ = writeln!(page, "## {}\n", group.title);
            for &threads in &group.threads {
                let rows: Vec<&Row> = of_group
                    .iter()
                    .copied()
                    .filter(|r| r.threads == threads)
                    .collect();
                if !rows.is_empty() {
                    times(&mut page, group, threads, &rows);
                    targets(&mut page, group, threads, &rows);
                }
            }
        }
    }
    page
}

fn versions(rows: &[Row]) -> String {
    let mut all: Vec<String> = rows
        .iter()
        .filter_map(|r| Some(format!("{} {}", r.library, r.version.as_ref()?)))
        .collect();
    all.sort();
    all.dedup();
    all.join(", ")
}

fn times(page: &mut String, group: &Group, threads: usize, rows: &[&Row]) {
    let names: Vec<&String> = group.ours.iter().chain(&group.peers).collect();
    let plural = if threads == 1 { "" } else { "s" };
    let _ = writeln!(page, "### {threads} thread{plural}\n");
    let _ = write!(page, "| B,H,N,D | mask |");
    for name in &names {
        let _ = write!(page, " {name} |");
    }
    let _ = writeln!(
        page,
        " GFLOP/s of ours | ours / {} | ours / best peer |",
        group.baseline
    );
    let _ = writeln!(page, "|---|---|{}--:|---|---|", "--:|".repeat(names.len()));
    let mut notes: Vec<String> = Vec::new();
    for cell in cells(rows) {
        let first = cell[0];
        let Row {
            b,
            h,
            nq,
            nk,
            d,
            mask,
            ..
        } = first;
        let n = if nq == nk {
            nk.to_string()
        } else {
            format!("{nq}×{nk}")
        };
        let _ = write!(page, "| {b},{h},{n},{d} | {mask} |");
        let fastest = cell
            .iter()
            .filter_map(|r| r.median_ms)
            .fold(f64::INFINITY, f64::min);
        for name in &names {
            let row = cell.iter().find(|r| r.contender == **name);
            let text = match row {
                None => "-".into(),
                Some(row) => match row.median_ms {
                    Some(ms) if ms == fastest => format!("**{}**", milliseconds(ms)),
                    Some(ms) => milliseconds(ms),
                    None => {
                        let word = word(row.status);
                        let reason = row.reason.as_deref().unwrap_or_default();
                        let reason = reason.lines().next().unwrap_or_default();
                        let note = format!("{name}: {word}, {reason}");
                        if !notes.contains(&note) {
                            notes.push(note);
                        }
                        word.into()
                    }
                },
            };
            let _ = write!(page, " {text} |");
        }
        let judged = cell.iter().find(|r| r.contender == group.ours[0]);
        let speed = judged
            .and_then(|r| r.gflops())
            .map_or("-".into(), |g| format!("{g:.0}"));
        let ratio = |ratio: Option<measure::RatioSummary>, of: Option<&String>| {
            ratio.map_or("-".into(), |r| {
                let of = of.map_or(String::new(), |name| format!(" {name}"));
                format!(
                    "{:.2} ({:.2}-{:.2}){of}",
                    r.median, r.interval.0, r.interval.1
                )
            })
        };
        let to_baseline = ratio(judged.and_then(|r| r.to_baseline), None);
        let best = judged.and_then(|r| r.best.as_ref());
        let to_best = ratio(judged.and_then(|r| r.to_best), best);
        let _ = writeln!(page, " {speed} | {to_baseline} | {to_best} |");
    }
    page.push('\n');
    for note in notes {
        let _ = writeln!(page, "* {note}");
    }
    page.push('\n');
}

/// What the group aims at with this number of threads, and whether it is met.
fn targets(page: &mut String, group: &Group, threads: usize, rows: &[&Row]) {
    let lines: Vec<String> = group
        .target
        .iter()
        .filter(|target| target.threads == threads)
        .filter_map(|target| verdict(group, target, rows))
        .collect();
    if !lines.is_empty() {
        let _ = writeln!(page, "| aim | mask | cells | reached | aimed at | |");
        let _ = writeln!(page, "|---|---|--:|--:|--:|---|");
        lines.iter().for_each(|line| page.push_str(line));
        page.push('\n');
    }
}

fn verdict(group: &Group, target: &Target, rows: &[&Row]) -> Option<String> {
    let ours = &group.ours[0];
    let counts = |row: &Row| {
        let fits = target
            .lengths
            .is_none_or(|[low, high]| (low..=high).contains(&row.nk));
        fits && target.mask.as_ref().is_none_or(|mask| *mask == row.mask)
    };
    let ratios: Vec<f64> = cells(rows)
        .iter()
        .filter(|cell| counts(cell[0]))
        .filter_map(|cell| {
            let judged = cell.iter().find(|r| r.contender == *ours)?;
            match target.against.as_str() {
                "baseline" => judged.to_baseline.map(|r| r.median),
                "best" => judged.to_best.map(|r| r.median),
                name => {
                    let other = cell.iter().find(|r| r.contender == name)?;
                    measure::ratio_within_rounds(&judged.rounds_ms, &other.rounds_ms, 0)
                        .map(|r| r.median)
                }
            }
        })
        .collect();
    if ratios.is_empty() {
        return None;
    }
    let against = match target.against.as_str() {
        "baseline" => &group.baseline,
        "best" => "best peer",
        name => name,
    };
    let mask = target.mask.as_deref().unwrap_or("all");
    let mut lines = String::new();
    let mut line = |what: &str, reached: f64, aim: f64| {
        let what = if ratios.len() == 1 { "ratio" } else { what };
        let met = if reached <= aim { "met" } else { "**missed**" };
        let count = ratios.len();
        let _ = writeln!(
            lines,
            "| {what} of ours / {against} | {mask} | {count} | {reached:.3} | {aim} | {met} |"
        );
    };
    if let Some(aim) = target.mean {
        let mean = ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64;
        line("geometric mean", mean.exp(), aim);
    }
    if let Some(aim) = target.each {
        line("largest", ratios.iter().copied().fold(0.0, f64::max), aim);
    }
    Some(lines)
}

/// Rows of the same cell, in the order of the run.
pub(crate) fn cells<'a>(rows: &[&'a Row]) -> Vec<Vec<&'a Row>> {
    rows.chunk_by(|a, b| a.cell() == b.cell())
        .map(<[_]>::to_vec)
        .collect()
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "-",
        Status::Failed => "failed",
        Status::Unsupported => "unsupported",
        Status::Unavailable => "unavailable",
        Status::LeftOut => "left out",
    }
}

/// Three digits that say something.
fn milliseconds(ms: f64) -> String {
    let digits = (2.0 - ms.log10().floor()).clamp(0.0, 4.0) as usize;
    format!("{ms:.digits$}")
}
