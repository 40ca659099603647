//! Sentences on records made by hand.

mod common;

use common::{cell, unmeasured};
use experiment::record::Status;
use report::{Level, charts, findings, headline};

const WITHIN_10: Level = Level::Error(0.1);

#[test]
fn the_cheapest_accurate_approximation_is_taken() {
    let rows = [
        cell("blocked", "blocked", 4096, 10.0, 2e-7),
        cell("naive", "naive", 4096, 90.0, 2e-7),
        cell("top-k k=64", "retrieval", 4096, 5.0, 0.03),
        cell("top-k k=8", "retrieval", 4096, 2.0, 0.4),
        cell("favor", "linear", 4096, 1.0, 0.9),
    ];
    let found = findings(&rows);
    let setting = &found.settings[0];
    assert_eq!(setting.exact.as_ref().unwrap().label, "blocked");
    let choice = setting.at(WITHIN_10).unwrap();
    assert_eq!(choice.label, "top-k k=64");
    let (median, (low, high)) = choice.speedup.unwrap();
    assert!(
        (median - 2.0).abs() < 0.1 && low > 1.8 && high < 2.2,
        "{choice:?}"
    );
    assert!(setting.at(Level::Error(0.01)).is_none());
    insta::assert_snapshot!(headline(&rows).join("\n"));
}

#[test]
fn overlapping_times_are_ties_and_the_more_accurate_is_taken() {
    let rows = [
        cell("blocked", "blocked", 1024, 10.0, 2e-7),
        cell("gemm", "naive", 1024, 10.0, 2e-7),
        cell("top-k k=64", "retrieval", 1024, 5.0, 0.03),
        cell("simhash", "retrieval", 1024, 5.0, 0.05),
    ];
    let found = findings(&rows);
    let setting = &found.settings[0];
    assert_eq!(setting.exact.as_ref().unwrap().ties.len(), 1);
    let choice = setting.at(WITHIN_10).unwrap();
    assert_eq!(
        (choice.label.as_str(), choice.ties.as_slice()),
        ("top-k k=64", &["simhash".to_string()][..])
    );
    insta::assert_snapshot!(setting.sentences.join("\n"));
}

#[test]
fn an_approximation_that_only_ties_with_exact_is_not_worth_it() {
    let rows = [
        cell("blocked", "blocked", 256, 1.0, 2e-7),
        cell("top-k k=64", "retrieval", 256, 0.999, 0.03),
        cell("simhash", "retrieval", 256, 0.2, 0.8),
    ];
    assert!(findings(&rows).settings[0].at(WITHIN_10).is_none());
    let said = headline(&rows).join("\n");
    assert!(said.contains("stay exact (blocked, "), "{said}");
}

#[test]
fn an_error_interval_beyond_the_level_does_not_qualify() {
    let mut sure = cell("top-k k=64", "retrieval", 256, 0.1, 0.09);
    let rows =
        |r: &experiment::record::Record| [cell("blocked", "blocked", 256, 1.0, 2e-7), r.clone()];
    assert!(findings(&rows(&sure)).settings[0].at(WITHIN_10).is_some());
    if let Some(accuracy) = &mut sure.accuracy {
        accuracy.relative_frobenius_interval.1 = 0.11;
    }
    assert!(findings(&rows(&sure)).settings[0].at(WITHIN_10).is_none());
}

#[test]
fn lengths_with_the_same_advice_are_told_together() {
    let mut rows = Vec::new();
    for (n, speed) in [
        (256, 0.5),
        (512, 0.9),
        (1024, 2.0),
        (2048, 3.0),
        (4096, 4.0),
    ] {
        rows.push(cell("blocked", "blocked", n, 1.0, 2e-7));
        rows.push(cell("top-k k=64", "retrieval", n, 1.0 / speed, 0.03));
    }
    insta::assert_snapshot!(headline(&rows).join("\n"));
}

#[test]
fn what_has_no_time_is_counted_with_its_reason() {
    let rows = [
        cell("blocked", "blocked", 256, 1.0, 2e-7),
        unmeasured(
            "nystrom",
            "linear",
            256,
            Status::Unsupported,
            "no causal mask",
        ),
        unmeasured("naive", "naive", 256, Status::OutOfMemory, "needs 8 GiB"),
        unmeasured("naive", "naive", 512, Status::OutOfMemory, "needs 8 GiB"),
    ];
    let found = findings(&rows);
    assert_eq!(found.troubles.len(), 2);
    assert_eq!(
        (found.troubles[0].cells, found.troubles[0].status),
        (2, "out of memory")
    );
    insta::assert_snapshot!(headline(&rows).join("\n"));
}

#[test]
fn nothing_measured_and_nothing_run_are_said() {
    let failed = [unmeasured(
        "blocked",
        "blocked",
        256,
        Status::Failed,
        "gate: 3e-2 > 1e-5",
    )];
    insta::assert_snapshot!(headline(&failed).join("\n"), @r"
    No cell was measured: every one ended without a time, for the reasons listed.
    1 of 1 cell has no time: 1 failed.
    ");
    assert_eq!(headline(&[]), ["There are no records: nothing was run."]);
}

#[test]
fn one_cell_alone_is_no_comparison() {
    let said = headline(&[cell("blocked", "blocked", 256, 1.0, 2e-7)]).join("\n");
    assert!(said.contains("no approximation was measured"), "{said}");
    let said = headline(&[cell("favor", "linear", 256, 1.0, 0.05)]).join("\n");
    assert!(
        said.contains("no exact variant was measured to compare with"),
        "{said}"
    );
}

#[test]
fn the_later_of_two_answers_counts_and_order_does_not() {
    let old = unmeasured("blocked", "blocked", 256, Status::Timeout, "slow");
    let new = cell("blocked", "blocked", 256, 1.0, 2e-7);
    assert!(findings(&[old, new]).troubles.is_empty());

    let mut rows = common::lengths();
    let forward = headline(&rows);
    rows.reverse();
    assert_eq!(forward, headline(&rows));
}

#[test]
fn an_exact_kernel_over_a_window_is_an_approximation_of_the_problem() {
    let mut window = cell("sliding-window w=64", "blocked", 4096, 0.5, 0.4);
    window.variant.exact = true;
    window.mask_sparsity = 0.97;
    let rows = [cell("blocked", "blocked", 4096, 10.0, 2e-7), window];
    let found = findings(&rows);
    assert_eq!(found.settings[0].exact.as_ref().unwrap().label, "blocked");
    assert!(found.settings[0].at(WITHIN_10).is_none());
}

#[test]
fn cells_of_different_groups_are_compared_by_their_intervals() {
    let exact = cell("blocked", "blocked", 4096, 10.0, 2e-7);
    let mut other = cell("top-k k=64", "retrieval", 4096, 9.0, 0.03);
    other.group = "another".into();
    if let Some(latency) = &mut other.latency {
        latency.interval_ms = (7.0, 12.0);
    }
    let rows = [exact, other];
    assert!(
        findings(&rows).settings[0].at(WITHIN_10).is_none(),
        "9 ms (7 to 12) against 10 ms is no win"
    );
}

#[test]
fn checksums_tell_apart_only_what_goes_by_one_name() {
    let run = |data: [&str; 3]| {
        let rows = ["shop", "shop", "clusters"].map(|label| {
            let mut row = cell("blocked", "blocked", 256, 1.0, 2e-7);
            row.workload.label = label.into();
            row.workload.kind = "histories".into();
            row
        });
        let mut rows = rows.to_vec();
        for (row, data) in rows.iter_mut().zip(data) {
            row.workload.data = data.into();
        }
        findings(&rows)
            .settings
            .iter()
            .map(|s| s.title.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(["aa", "aa", "bb"]), ["clusters", "shop"]);
    assert_eq!(run(["aa", "aa", ""]), ["clusters", "shop"]);
    assert_eq!(
        run(["aa", "cc", "bb"]),
        ["clusters", "shop, data aa", "shop, data cc"]
    );
}

#[test]
fn each_workload_has_its_heading_and_ties_are_told() {
    let mut rows = vec![
        cell("blocked", "blocked", 256, 1.0, 2e-7),
        cell("gemm", "naive", 256, 1.0, 2e-7),
        cell("top-k k=64", "retrieval", 256, 2.0, 0.03),
        cell("blocked", "blocked", 1024, 10.0, 2e-7),
        cell("top-k k=64", "retrieval", 1024, 5.0, 0.03),
        cell("simhash", "retrieval", 1024, 5.0, 0.05),
    ];
    let mut others = rows.clone();
    for row in &mut others {
        row.workload.label = "shop".into();
    }
    rows.extend(others);
    insta::assert_snapshot!(headline(&rows).join("\n"));
}

#[test]
fn a_ladder_is_told_rung_by_rung_and_drawn_alone() {
    let records = common::ladder();
    let found = findings(&records);
    assert_eq!(
        found.verdict,
        [
            "full, N = 4096: blocked isa=avx512 reaches 91 % of the f32 FMA peak of one thread, 2.91× as fast as \
          naive-gemm; blocked-bf16 is 1.80× faster still, for 0.260 % error."
        ]
    );
    let [advice] = found.advice.as_slice() else {
        panic!("{:?}", found.advice);
    };
    assert_eq!(advice.lines.len(), 4);
    assert!(
        advice.lines[2].starts_with(
            "full, N = 1024: naive (0.90 %), naive-gemm 34.8× (31 %), blocked isa=portable 0.383× (12 %), "
        ),
        "{}",
        advice.lines[2]
    );
    assert!(
        advice.lines[3].starts_with("full, N = 4096: naive-gemm (31 %), "),
        "what follows a rung without a time is compared with nothing: {}",
        advice.lines[3]
    );
    let charts = charts(&records);
    let names: Vec<_> = charts.iter().map(report::Chart::name).collect();
    assert_eq!(names, ["ladder"]);
    for svg in [charts[0].svg().unwrap(), charts[0].narrow_svg().unwrap()] {
        for told in ["162 %", "×1.80", "timed out", "2.6", "(272 GFLOP/s)"] {
            assert!(svg.contains(told), "{told}");
        }
    }
}

#[test]
fn a_ladder_of_one_timed_rung_is_no_ladder() {
    let mut records = common::ladder();
    records.retain(|r| r.variant.rung.is_none_or(|rung| rung < 2) && r.shape.nk == 4096);
    assert!(
        charts(&records)
            .iter()
            .all(|chart| chart.name() != "ladder")
    );
    assert!(
        !findings(&records)
            .verdict
            .iter()
            .any(|v| v.contains("peak"))
    );
}

#[test]
fn the_power_of_the_error_is_fitted_and_held_to_theory() {
    let records = common::features();
    let found = findings(&records);
    let [answer] = found.answers.as_slice() else {
        panic!("{:?}", found.answers);
    };
    let rows: Vec<String> = answer.rows.iter().map(|row| row.join(" | ")).collect();
    insta::assert_snapshot!(format!(
        "{}\n{}",
        answer.columns.join(" | "),
        rows.join("\n")
    ));
    let told = found.advice.last().unwrap();
    insta::assert_snapshot!(format!("{}:\n{}", told.title, told.lines.join("\n")));
    let charts = charts(&records);
    let chart = charts.iter().find(|c| c.name() == "features").unwrap();
    assert_eq!(
        chart.title(),
        "The error of favor falls as theory says, as m^-0.5, in 1 of 2 settings"
    );
    let svg = chart.svg().unwrap();
    for told in [
        "m^(-1/2), theory of favor",
        "nystrom  m^-1.00",
        "linear-elu  skill 0.79",
    ] {
        assert!(svg.contains(told), "{told}");
    }
}

#[test]
fn two_values_or_two_parameters_make_no_slope() {
    let mut two = common::features();
    two.retain(
        |r| matches!(r.variant.parameters.get("features"), Some(m) if m.as_u64() < Some(256)),
    );
    assert!(findings(&two).answers.is_empty());
    let mut plane = common::features();
    plane.retain(|r| r.variant.name == "nystrom");
    for (i, record) in plane.iter_mut().enumerate() {
        let iterations = serde_json::Value::from(i as u64);
        record
            .variant
            .parameters
            .insert("iterations".into(), iterations);
    }
    assert!(findings(&plane).answers.is_empty());
    let mut window = common::features();
    for record in &mut window {
        record.mask_sparsity = 0.5;
    }
    assert!(
        findings(&window).answers.is_empty(),
        "the chart of sparsity has these"
    );
}

#[test]
fn errors_and_skills_stand_beside_each_other_for_every_input() {
    let found = findings(&common::entropy());
    let [answer] = found.answers.as_slice() else {
        panic!("{:?}", found.answers);
    };
    insta::assert_snapshot!(table(answer));
    let mut flat = common::entropy();
    flat.retain(|r| r.workload.target_entropy > Some(0.1));
    assert!(findings(&flat).answers.is_empty());
}

fn table(answer: &report::Answer) -> String {
    let rows = std::iter::once(&answer.columns).chain(&answer.rows);
    rows.map(|row| row.join(" | "))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_length_of_a_crossing_is_told_with_its_error() {
    let mut rows = Vec::new();
    for n in [256, 1024, 4096] {
        let size = n as f64 / 1024.0;
        rows.push(cell("blocked", "blocked", n, size * size, 2e-7));
        rows.push(cell(
            "linear-elu",
            "linear",
            n,
            2.0 * size,
            0.2 * size.sqrt(),
        ));
        rows.push(cell("favor", "linear", n, 8.0 * size, 0.3));
        rows.push(cell("linrec", "linear", n, 0.1 * size, 0.9));
        // Exact where the window holds the whole history.
        let mut window = cell("sliding-window window=256", "blocked", n, 0.5 * size, 0.1);
        window.variant.exact = true;
        window.mask_sparsity = if n == 256 { 0.0 } else { 0.5 };
        rows.push(window);
    }
    let found = findings(&rows);
    let [answer, growth] = found.answers.as_slice() else {
        panic!("{:?}", found.answers);
    };
    insta::assert_snapshot!(table(answer));
    insta::assert_snapshot!("growth_of_time_and_memory", table(growth));
    let told = found.advice.last().unwrap();
    insta::assert_snapshot!(format!("{}:\n{}", told.title, told.lines.join("\n")));
    let charts = charts(&rows);
    let chart = charts.iter().find(|c| c.name() == "crossover").unwrap();
    assert_eq!(
        chart.title(),
        "3 of 4 approximations become faster than blocked: first linrec, from N ≤ 256 on at 90.0 % error; \
         the most accurate, sliding-window window=256, from N ≈ 517 on at 10.0 % error"
    );
}
