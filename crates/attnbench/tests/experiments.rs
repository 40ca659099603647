//! `plan`, `run`, `report` and `demo` on a tiny experiment.

mod support;

use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use support::{Place, texts};

const TINY: &str = r#"
name = "tiny"
question = "Does it work?"
baseline = "naive"
[inputs]
workload = "gaussian"
[problem]
length = [16, 32]
head_dimension = 4
heads = 1
mask = ["causal", "causal+window:8"]
threads = 1
[variants.naive]
[variants.blocked]
[variants.linear-elu]
[accuracy]
rows = 8
[time]
warmup = 1
min_rounds = 2
max_rounds = 3
seconds_per_group = 0.1
"#;

fn placed() -> Place {
    let place = Place::new();
    std::fs::write(place.path("tiny.toml"), TINY).unwrap();
    place
}

fn records(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("records.jsonl")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_plan_says_what_would_run_and_what_not() {
    let place = placed();
    let text = place.well("plan tiny.toml --cells");
    assert!(text.starts_with("Does it work?\n"), "{text}");
    assert!(text.contains("4 groups, 12 cells, 2 skipped; "), "{text}");
    assert!(text.contains("linear-elu: unsupported, "), "{text}");
    assert!(
        text.contains("(group 2, 4)") || text.contains("(group 3, 4)"),
        "{text}"
    );
    assert!(text.contains("results in runs/tiny/"), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.ends_with(" runs")).count(),
        10,
        "{text}"
    );
    assert_eq!(place.files(), ["tiny.toml"], "a plan writes nothing");

    let text = place.well("plan tiny.toml --filter variant=blocked,n>=32 --set accuracy.rows=4");
    assert!(text.contains("2 groups, 2 cells, 0 skipped; "), "{text}");
}

#[test]
fn a_run_leaves_records_charts_and_a_page_and_is_not_repeated() {
    let place = placed();
    let output = place.run("run tiny.toml --out results");
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("4 groups; results in results"), "{stderr}");
    assert!(stderr.contains("[4/4] "), "{stderr}");
    assert!(stderr.contains("linear-elu unsupported: "), "{stderr}");
    let last = stdout.lines().last().unwrap();
    let page = last.strip_prefix("Open this file in a browser: ").unwrap();
    assert!(
        std::fs::read_to_string(page)
            .unwrap()
            .contains("Does it work?")
    );

    let dir = place.path("results");
    let rows = records(&dir);
    assert_eq!(rows.len(), 12);
    let timed = rows.iter().filter(|row| row["status"] == "ok");
    assert!(timed.clone().count() == 10);
    for row in timed {
        assert!(
            row["memory"]["peak_bytes"].is_u64(),
            "allocations are counted: {row}"
        );
    }
    assert!(std::fs::read_dir(dir.join("charts")).unwrap().count() >= 2);

    let stderr = texts(&place.run("run tiny.toml --out results")).1;
    assert!(
        stderr.contains("4 groups, 4 of them measured by an earlier call"),
        "{stderr}"
    );
    assert_eq!(records(&dir), rows);

    let stderr = place.fails(2, "run tiny.toml --out results --set seed=2");
    assert!(
        stderr.contains("other config, data, code or machine"),
        "{stderr}"
    );

    std::fs::remove_dir_all(dir.join("charts")).unwrap();
    std::fs::remove_file(dir.join("report.html")).unwrap();
    assert_eq!(place.well("report results"), stdout);
    assert!(dir.join("report.html").is_file() && dir.join("charts").is_dir());
}

#[test]
fn killed_in_the_middle_it_continues() {
    let place = placed();
    let slow = "run tiny.toml --out results --set problem.length=[16,24,32] \
                --set time.max_rounds=100000 --set time.relative_interval=1e-9 \
                --set time.seconds_per_group=0.5";
    let program = assert_cmd::cargo::cargo_bin("attnbench");
    let mut command = std::process::Command::new(program);
    command
        .current_dir(place.dir.path())
        .args(slow.split_whitespace());
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let dir = place.path("results");
    let deadline = Instant::now() + Duration::from_secs(60);
    while records(&dir).len() < 3 {
        assert!(Instant::now() < deadline, "no records within a minute");
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = records(&dir);
    assert!(before.len() < 18, "it was killed in the middle");

    let output = place.run(slow);
    let (_, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains(" of them measured by an earlier call"),
        "{stderr}"
    );
    let after = records(&dir);
    assert_eq!(after[..before.len()], before, "what was measured is kept");
    let mut cells: Vec<_> = after.iter().map(|row| row["cell"].to_string()).collect();
    cells.sort();
    cells.dedup();
    assert_eq!((after.len(), cells.len()), (18, 18));
}

#[test]
fn the_demo_ends_with_the_file_to_open() {
    let place = Place::new();
    let smaller = "--set problem.length=[64,128] --set problem.head_dimension=8 --set problem.heads=1 \
                   --set problem.threads=1 --set accuracy.rows=8 --set time.seconds_per_group=0.05 \
                   --set inputs.workload=['clusters']";
    let output = place.run(&format!("demo --out seen {smaller}"));
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.lines().count() > 2, "{stdout}");
    let last = stdout.lines().last().unwrap();
    assert!(
        last.starts_with("Open this file in a browser: "),
        "{stdout}"
    );
    assert!(last.ends_with("seen/report.html"), "{stdout}");
    assert!(place.path("seen/report.html").is_file());
}

#[test]
fn wrong_configs_are_shown_with_the_place() {
    let place = placed();
    std::fs::write(
        place.path("wrong.toml"),
        TINY.replace("length =", "lenght ="),
    )
    .unwrap();
    let stderr = place.fails(2, "run wrong.toml");
    for words in [
        "unknown key `lenght`",
        "wrong.toml:8",
        "did you mean `length`?",
    ] {
        assert!(stderr.contains(words), "{words} is not in\n{stderr}");
    }
    let stderr = place.fails(2, "plan tiny.toml --set problem.length=0");
    assert!(stderr.contains("problem.length"), "{stderr}");
    let stderr = place.fails(2, "run tiny.tmol");
    assert!(
        stderr.contains("neither a config file nor an embedded experiment"),
        "{stderr}"
    );
    let stderr = place.fails(2, "plan quikstart");
    assert!(stderr.contains("did you mean `quickstart`?"), "{stderr}");
    let stderr = place.fails(2, "run tiny.toml --filter varaint=x");
    assert!(stderr.contains("did you mean `variant`?"), "{stderr}");
    let stderr = place.fails(2, "run tiny.toml --filter n>=64");
    assert!(stderr.contains("no cell matches the filter"), "{stderr}");
    let stderr = place.fails(2, "report nowhere");
    assert!(stderr.contains("there is no manifest.json"), "{stderr}");
    assert!(!place.path("runs").exists());
}

#[test]
fn a_place_that_cannot_be_written_to_is_told() {
    let place = placed();
    let stderr = place.fails(1, "run tiny.toml --out tiny.toml/results");
    assert!(stderr.starts_with("error: cannot "), "{stderr}");
    assert!(stderr.contains("tiny.toml/results"), "{stderr}");
}
