//! The page and the files beside it.

mod common;

use common::{cell, context, unmeasured};
use experiment::record::{Record, Status};
use report::{Context, ReportError, charts, write_report};
use std::fs;
use std::path::Path;

/// Two lengths, a tie, an unsupported cell, text that must be escaped.
fn small() -> Vec<Record> {
    let mut rows = Vec::new();
    for (n, ms) in [(256, 1.0), (1024, 14.0)] {
        rows.push(cell("blocked", "blocked", n, ms, 2e-7));
        rows.push(cell("top-k k=32", "retrieval", n, 0.7 * ms.powf(0.8), 0.04));
    }
    rows.push(unmeasured(
        "nystrom",
        "linear",
        256,
        Status::Unsupported,
        "causal & <landmarks>",
    ));
    rows[0].warnings.push(
        serde_json::from_value(serde_json::json!({
            "code": "few-rounds",
            "message": "15 rounds",
            "advice": "Raise the time budget"
        }))
        .expect("a warning as records hold it"),
    );
    rows
}

fn page_of(records: &[Record], about: &Context) -> String {
    let dir = tempfile::tempdir().unwrap();
    let files = write_report(dir.path(), records, about).unwrap();
    fs::read_to_string(files.page).unwrap()
}

/// The page without what is inside the drawings, which a snapshot would only repeat.
fn without_drawings(page: &str) -> String {
    let mut text = String::new();
    for (i, part) in page.split("<svg").enumerate() {
        let kept = part.split_once("</svg>").map_or(part, |(_, after)| after);
        text += if i == 0 { part } else { "<svg…/>" };
        text += if i == 0 { "" } else { kept };
    }
    let (head, rest) = text.split_once("<style>").unwrap();
    let (_, tail) = rest.split_once("</style>").unwrap();
    format!("{head}<style>…</style>{tail}")
}

#[test]
fn the_page_of_a_small_run() {
    insta::assert_snapshot!(without_drawings(&page_of(&small(), &context())));
}

#[test]
fn the_same_records_give_the_same_bytes() {
    assert_eq!(page_of(&small(), &context()), page_of(&small(), &context()));
}

#[test]
fn the_page_asks_nothing_of_the_network() {
    let page = page_of(&common::lengths(), &context());
    // The namespace of SVG is a name, not an address that is fetched.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for forbidden in ["http://", "https://", "src=", "@import", "url(", "<link"] {
        assert!(!page.contains(forbidden), "{forbidden} in the page");
    }
}

#[test]
fn what_comes_from_outside_is_escaped() {
    let hostile = "<script>alert(\"x\")</script>";
    let mut rows = small();
    for row in &mut rows {
        row.variant.label = format!("{hostile}{}", row.variant.label);
        row.workload.label = hostile.into();
        row.reason = Some(hostile.into());
    }
    rows[0].threads = 1;
    let about = Context {
        experiment: hostile.into(),
        question: hostile.into(),
        config_toml: hostile.into(),
        command: hostile.into(),
        machine: vec![(hostile.into(), hostile.into())],
        ..context()
    };
    let page = page_of(&rows, &about);
    assert!(!page.contains("<script>alert"));
    assert!(page.contains("&lt;script&gt;alert"));
}

#[test]
fn nothing_but_failures_still_makes_a_page() {
    let rows = [unmeasured(
        "blocked",
        "blocked",
        256,
        Status::Failed,
        "gate: 3e-2 over 1e-5",
    )];
    let page = page_of(&rows, &Context::default());
    assert!(page.contains("No cell was measured") && page.contains("gate: 3e-2 over 1e-5"));
    assert!(!page.contains("<svg"));
    assert!(page_of(&[], &Context::default()).contains("nothing was run"));
}

#[test]
fn charts_are_drawn_where_their_axis_varies() {
    let names = |rows: &[Record]| charts(rows).iter().map(|c| c.name()).collect::<Vec<_>>();
    assert_eq!(
        names(&common::lengths()),
        [
            "accuracy-latency",
            "latency-length",
            "crossover",
            "memory-length"
        ]
    );
    assert_eq!(names(&common::sparsity()), ["accuracy-latency", "sparsity"]);
    assert_eq!(
        names(&common::entropy()),
        ["accuracy-latency", "accuracy-entropy"]
    );
    assert!(names(&[cell("blocked", "blocked", 256, 1.0, 2e-7)]).is_empty());
}

#[test]
fn the_title_on_sparsity_weighs_the_nearest_to_the_ideal_against_the_most_skilful() {
    let at = |label: &str, sparsity: f64, ms: f64, error: f64, flops: u64| {
        let mut row = cell(label, "retrieval", 4096, ms, error);
        row.mask_sparsity = sparsity;
        row.cost.flops = flops;
        row
    };
    let mut dense = cell("blocked", "blocked", 4096, 100.0, 2e-7);
    dense.cost.flops = 1000;
    let rows = [
        dense,
        at("window w=2", 0.9, 20.0, 0.6, 100),
        at("window w=4", 0.8, 30.0, 0.4, 200),
        at("search k=1", 0.99, 150.0, 0.5, 510),
        at("search k=2", 0.9, 160.0, 0.2, 550),
    ];
    let charts = charts(&rows);
    let chart = charts.iter().find(|c| c.name() == "sparsity").unwrap();
    insta::assert_snapshot!(
        chart.title(),
        @"window w=2 at 90 % sparsity takes 20 % of the dense time (ideal 10 %) at skill 0.53; search k=2, which still does 55 % of the work, takes 160 % at skill 0.95"
    );
}

#[test]
fn numbers_that_are_not_finite_break_nothing() {
    let mut rows = small();
    if let Some(accuracy) = &mut rows[1].accuracy {
        accuracy.total.relative_frobenius = f64::NAN;
        accuracy.total.skill = f64::NEG_INFINITY;
    }
    if let Some(latency) = &mut rows[3].latency {
        latency.interval_ms = (0.0, f64::INFINITY);
        latency.median_ms = 0.0;
    }
    let page = page_of(&rows, &context());
    assert!(
        !page.contains("NaN") && !page.contains("inf"),
        "shown as is"
    );
}

/// Width, height and whether more than one colour is in it.
fn decode(path: &Path) -> (u32, u32, bool) {
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap()))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let first = pixels[..3].to_vec();
    let varied = pixels.chunks_exact(3).any(|p| p != first);
    (info.width, info.height, varied)
}

#[test]
fn files_are_whole_and_nothing_else_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_report(dir.path(), &small(), &context()).unwrap();
    let mut on_disk: Vec<_> = fs::read_dir(dir.path().join("charts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    on_disk.sort();
    let mut said = files.charts.clone();
    said.sort();
    assert_eq!(on_disk, said);
    for path in &files.charts {
        if path.extension().is_some_and(|e| e == "png") {
            let (width, height, varied) = decode(path);
            assert!(
                width == 2160 && height > 400 && varied,
                "{}",
                path.display()
            );
        } else {
            well_formed(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Tags nest, attributes are quoted, and no bare `&` or `<` is in the text.
fn well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in svg.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("a tag ends");
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        for entity in text.split('&').skip(1) {
            assert!(
                entity.split_once(';').is_some_and(|(e, _)| e.len() < 6),
                "{text}"
            );
        }
    }
    assert!(open.is_empty() && svg.starts_with("<svg "));
}

#[test]
fn a_folder_in_the_way_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("charts"), "a file").unwrap();
    let error = write_report(dir.path(), &small(), &context()).unwrap_err();
    assert!(matches!(error, ReportError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("charts"));

    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("report.html")).unwrap();
    let error = write_report(dir.path(), &small(), &context()).unwrap_err();
    assert!(error.to_string().contains("report.html"), "{error}");
}
