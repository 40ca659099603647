//! A run from config to files.

mod support;

use experiment::record::Status;
use experiment::{Event, METRICS, RunDir, RunOptions, run};
use support::{config, context, plan, run_in, untimed_lines};

#[test]
fn every_cell_becomes_a_row_with_accuracy_gate_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&config(&[]), None);
    assert_eq!((plan.groups.len(), plan.cells()), (4, 16));
    let done = run_in(folder.path(), &plan);
    assert_eq!((done.measured, done.reused, done.records.len()), (4, 0, 16));
    for record in &done.records {
        assert_eq!((record.status, &record.reason), (Status::Ok, &None));
        let (accuracy, gate) = (record.accuracy.as_ref().unwrap(), record.gate.unwrap());
        assert!(gate.passed && gate.value <= gate.budget);
        let latency = record.latency.as_ref().unwrap();
        assert!(latency.median_ms > 0.0 && latency.gflops > 0.0 && latency.share_of_peak > 0.0);
        assert_eq!(latency.speedup.as_ref().unwrap().over, "naive-gemm");
        let (low, high) = accuracy.relative_frobenius_interval;
        let error = accuracy.total.relative_frobenius;
        assert!(low <= error && error <= high, "{low} {error} {high}");
        let windowed = record.variant.name == "sliding-window";
        assert_eq!(
            windowed,
            error > 1e-3,
            "what a window leaves out counts as error"
        );
        assert_eq!(windowed, record.mask_sparsity > 0.0);
        assert!(accuracy.implementation.relative_frobenius < 1e-5);
    }
    let baseline = done
        .records
        .iter()
        .find(|r| r.variant.name == "naive-gemm")
        .unwrap();
    assert_eq!(
        baseline
            .latency
            .as_ref()
            .unwrap()
            .speedup
            .as_ref()
            .unwrap()
            .median,
        1.0
    );
}

#[test]
fn files_hold_what_the_run_returned() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&config(&[]), Some("n=24"));
    let done = run_in(folder.path(), &plan);
    let read = RunDir::open(folder.path()).unwrap();
    assert_eq!(read.records, done.records);
    assert_eq!(read.manifest.identity, plan.identity);
    assert_eq!(read.manifest.sessions.len(), 1);
    assert!(read.manifest.config_given.contains("N/4"));
    assert_eq!(read.manifest.config["problem"]["mask"][0], "causal");
    let summary = std::fs::read_to_string(folder.path().join("summary.csv")).unwrap();
    let lines: Vec<_> = summary.lines().collect();
    assert_eq!(lines.len(), 1 + done.records.len());
    let columns = lines[0].split(',').count();
    assert_eq!(columns, 19 + METRICS.len());
    assert!(lines.iter().all(|line| line.split(',').count() == columns));
}

#[test]
fn a_second_call_measures_nothing_and_a_fresh_one_sets_aside() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&config(&[]), Some("workload=gaussian"));
    let first = run_in(folder.path(), &plan);
    let second = run_in(folder.path(), &plan);
    assert_eq!((second.measured, second.reused), (0, 2));
    assert_eq!(first.records, second.records);
    let options = RunOptions {
        out: Some(folder.path().into()),
        fresh: true,
    };
    let third = run(&plan, &mut context(&[1]), &options, &mut ()).unwrap();
    assert_eq!(third.measured, 2);
    assert!(folder.path().join("records.old-1.jsonl").exists());
}

#[test]
fn rows_stand_in_the_order_of_the_plan_whatever_was_measured_first() {
    let folder = tempfile::tempdir().unwrap();
    let (config, whole) = (config(&[]), plan(&config(&[]), None));
    run_in(
        folder.path(),
        &plan(&config, Some("workload=clusters,n=40")),
    );
    let done = run_in(folder.path(), &whole);
    assert_eq!((done.measured, done.reused), (3, 1));
    let groups: Vec<_> = whole
        .groups
        .iter()
        .flat_map(|g| g.cells.iter().map(|c| c.id.clone()))
        .collect();
    let found: Vec<_> = RunDir::open(folder.path())
        .unwrap()
        .records
        .into_iter()
        .map(|r| r.cell)
        .collect();
    assert_eq!(groups, found);
}

#[test]
fn accuracy_is_the_same_bytes_on_any_number_of_threads_and_on_every_run() {
    let rows = |threads: &str| {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(&config(&[threads, "inputs.entropy=[0.5]"]), None);
        let mut records = run_in(folder.path(), &plan).records;
        for record in &mut records {
            (record.threads, record.cost.scratch_bytes) = (0, 0);
            (record.cell, record.group) = (String::new(), String::new());
        }
        untimed_lines(&records)
    };
    let one = rows("problem.threads=1");
    assert_eq!(one, rows("problem.threads=1"));
    assert_eq!(one, rows("problem.threads=3"));
}

#[test]
fn padded_and_jagged_batches_of_the_same_histories_agree() {
    let folder = tempfile::tempdir().unwrap();
    let sets = [
        "problem.batch=3",
        "problem.padding=\"lognormal:0.8\"",
        "problem.layout=[\"padded\", \"jagged\"]",
    ];
    let plan = plan(&config(&sets), Some("n=40,workload=clusters"));
    let records = run_in(folder.path(), &plan).records;
    let (padded, jagged): (Vec<_>, Vec<_>) = records.iter().partition(|r| !r.shape.jagged);
    assert_eq!(padded.len(), jagged.len());
    for (a, b) in padded.iter().zip(&jagged) {
        assert_eq!(a.status, Status::Ok, "{:?}", a.reason);
        let (p, q) = (a.problem.as_ref().unwrap(), b.problem.as_ref().unwrap());
        assert!(p.rho1 > 0.0);
        assert_eq!(p, q, "the oracle sees the same rows of the same histories");
        assert_eq!(a.mask, "causal + lengths");
        let (x, y) = (a.accuracy.as_ref().unwrap(), b.accuracy.as_ref().unwrap());
        approx::assert_relative_eq!(
            x.approximation.relative_frobenius,
            y.approximation.relative_frobenius,
            epsilon = 1e-9
        );
    }
}

#[test]
fn progress_tells_groups_and_cells_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&config(&[]), Some("n=24"));
    let mut seen = Vec::new();
    let options = RunOptions {
        out: Some(folder.path().into()),
        fresh: false,
    };
    let mut progress = |event: &Event<'_>| match event {
        Event::Started {
            groups, finished, ..
        } => seen.push(format!("start {groups} {finished}")),
        Event::Group {
            index, of, title, ..
        } => seen.push(format!("group {index}/{of} {title}")),
        Event::Cell { record } => seen.push(record.variant.label.clone()),
        Event::Finished { .. } => seen.push("end".into()),
        _ => {}
    };
    run(&plan, &mut context(&[1]), &options, &mut progress).unwrap();
    assert_eq!(seen[0], "start 2 0");
    assert_eq!(seen[1], "group 0/2 gaussian, N = 24, 1 thread");
    assert_eq!(
        seen[2..6],
        [
            "naive-gemm",
            "blocked",
            "sliding-window window=4",
            "sliding-window window=N/4"
        ]
    );
    assert_eq!(seen.last().unwrap(), "end");
}

#[test]
fn an_entropy_out_of_reach_is_a_failed_row_that_names_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(
        &config(&["inputs.entropy=0.001", "problem.length=24"]),
        Some("workload=gaussian"),
    );
    for record in run_in(folder.path(), &plan).records {
        assert_eq!(record.status, Status::Failed);
        let reason = record.reason.unwrap();
        assert!(
            reason.contains("entropy 0.001 is out of reach")
                && reason.contains("the nearest is 0."),
            "{reason}"
        );
    }
}

#[test]
fn what_a_variant_cannot_do_is_a_row_with_its_reason() {
    let sets = [
        "variants.linear-elu={}",
        "problem.mask=causal+window:8",
        "problem.length=24",
    ];
    let folder = tempfile::tempdir().unwrap();
    let records = run_in(folder.path(), &plan(&config(&sets), None)).records;
    let (able, unable): (Vec<_>, Vec<_>) = records.iter().partition(|r| r.status == Status::Ok);
    assert_eq!(able.len(), 8);
    for record in unable {
        assert_eq!(
            (record.status, record.variant.name.as_str()),
            (Status::Unsupported, "linear-elu")
        );
        assert!(
            record
                .reason
                .as_ref()
                .unwrap()
                .contains("does not support window mask"),
            "{:?}",
            record.reason
        );
        assert!(record.latency.is_none() && record.accuracy.is_none());
    }
}

#[test]
fn histories_of_a_log_run_at_the_lengths_that_its_users_have() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.txt");
    let events =
        (0..12usize).flat_map(|user| (0..10 + 4 * user).map(move |t| (user, (t * 7 + user) % 30)));
    let rows: Vec<_> = events
        .map(|(user, item)| format!("u{user} i{item}"))
        .collect();
    std::fs::write(&log, rows.join("\n")).unwrap();
    let log = format!("histories.log={}", log.display());
    let sets = [
        log.as_str(),
        "histories.format=pairs",
        "inputs.workload=histories",
        "inputs.entropy=0.4",
        "problem.length=40",
        "problem.batch=4",
        "problem.padding=log",
        "problem.layout=jagged",
    ];
    let done = run_in(&folder.path().join("run"), &plan(&config(&sets), None));
    for record in &done.records {
        assert_eq!(record.status, Status::Ok, "{:?}", record.reason);
        assert_eq!(record.workload.label, "histories (log.txt)");
        let problem = record.problem.as_ref().unwrap();
        assert!(
            problem.rho1 > 0.0 && (problem.entropy - 0.4).abs() < 1e-3,
            "{problem:?}"
        );
    }
    let data = RunDir::open(&done.dir).unwrap().manifest.data.unwrap();
    assert_eq!(
        (data.label.as_str(), &data.checksum),
        ("log.txt", &done.records[0].workload.data)
    );
}
