//! Results survive what can happen to them.

mod support;

use experiment::{Plan, RunDir, RunError, RunOptions, StoreError, run};
use proptest::prelude::*;
use std::path::Path;
use std::sync::OnceLock;
use support::{config, context, plan, run_in, untimed_lines};

/// A plan, and the bytes of an unbroken run of it.
fn unbroken() -> &'static (Plan, Vec<u8>, Vec<u8>) {
    static UNBROKEN: OnceLock<(Plan, Vec<u8>, Vec<u8>)> = OnceLock::new();
    UNBROKEN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(&config(&[]), None);
        run_in(folder.path(), &plan);
        let file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        (plan, file("records.jsonl"), file("manifest.json"))
    })
}

fn cut_off_at(folder: &Path, at: usize, tail: &[u8]) {
    let (_, records, manifest) = unbroken();
    let mut left = records[..at].to_vec();
    left.extend_from_slice(tail);
    std::fs::write(folder.join("records.jsonl"), left).unwrap();
    std::fs::write(folder.join("manifest.json"), manifest).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A killed run, continued, is an unbroken one in every column that is not timed.
    #[test]
    fn resumed_equals_unbroken(share in 0.0..1.0f64, zeros in 0..3usize) {
        let (plan, records, _) = unbroken();
        let at = (records.len() as f64 * share) as usize;
        let folder = tempfile::tempdir().unwrap();
        cut_off_at(folder.path(), at, &vec![0; zeros * 100]);
        let before = RunDir::open(folder.path()).unwrap().records;
        let done = run_in(folder.path(), plan);
        let whole_lines = records[..at].iter().filter(|b| **b == b'\n').count();
        prop_assert_eq!(before.len(), whole_lines, "a reader sees whole rows only");
        prop_assert_eq!(done.reused, whole_lines / 4, "finished groups of four are kept");
        let unbroken: Vec<experiment::record::Record> = records
            .split(|b| *b == b'\n').filter(|l| !l.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap()).collect();
        prop_assert_eq!(untimed_lines(&done.records), untimed_lines(&unbroken));
        let kept = 4 * done.reused;
        prop_assert_eq!(&done.records[..kept], &unbroken[..kept], "not measured again, times included");
        prop_assert_eq!(RunDir::open(folder.path()).unwrap().records, done.records);
    }
}

#[test]
fn damage_in_the_middle_is_not_taken_for_a_torn_end() {
    let folder = tempfile::tempdir().unwrap();
    cut_off_at(folder.path(), unbroken().1.len(), b"");
    let path = folder.path().join("records.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3] = b'#';
    std::fs::write(&path, &bytes).unwrap();
    let error = RunDir::open(folder.path()).unwrap_err();
    assert!(
        matches!(error, StoreError::Damaged { line: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_newer_schema_is_refused_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    cut_off_at(folder.path(), 0, b"{\"schema_version\":99,\"strange\":1}\n");
    let error = RunDir::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("schema version 99") && error.contains("update it"),
        "{error}"
    );
}

#[test]
fn another_runs_folder_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    cut_off_at(folder.path(), 0, b"");
    let other = plan(&config(&["seed=4"]), None);
    let options = RunOptions {
        out: Some(folder.path().into()),
        fresh: false,
    };
    let error = run(&other, &mut context(&[1]), &options, &mut ()).unwrap_err();
    assert!(
        matches!(error, RunError::Store(StoreError::OtherRun { .. })),
        "{error}"
    );
}

#[test]
fn two_writers_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&config(&[]), Some("n=24,workload=gaussian"));
    let held = std::fs::File::create(folder.path().join(".lock")).unwrap();
    held.lock().unwrap();
    let options = RunOptions {
        out: Some(folder.path().into()),
        fresh: false,
    };
    let error = run(&plan, &mut context(&[1]), &options, &mut ()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("being written by another process"),
        "{error}"
    );
    drop(held);
    run_in(folder.path(), &plan);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let options = RunOptions {
        out: Some(file.join("run")),
        fresh: false,
    };
    let error = run(&unbroken().0, &mut context(&[1]), &options, &mut ())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot create ") && error.contains("file/run"),
        "{error}"
    );
}

#[test]
fn what_is_no_run_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let error = RunDir::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("there is no manifest.json") && error.contains("give the folder of a run"),
        "{error}"
    );
}
