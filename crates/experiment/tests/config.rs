//! What a config says about itself when it is wrong.

mod support;

use experiment::Config;
use miette::{GraphicalReportHandler, GraphicalTheme};

/// The error as a user sees it, without colours.
fn report(text: &str, sets: &[&str]) -> String {
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
    let error = Config::parse("wrong.toml", text, &sets).unwrap_err();
    let mut shown = String::new();
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(110);
    handler.render_report(&mut shown, &error).unwrap();
    shown
}

/// The tiny sweep with one line replaced.
fn with(line: &str, replacement: &str) -> String {
    assert!(support::TINY.contains(line), "{line}");
    report(&support::TINY.replace(line, replacement), &[])
}

/// Without the list of what is known, which grows with the registry.
fn unlisted(report: String) -> String {
    report.split("Known").next().unwrap_or_default().to_owned()
}

macro_rules! wrong {
    ($($test:ident: $shown:expr;)*) => { $(
        #[test]
        fn $test() {
            insta::assert_snapshot!(stringify!($test), $shown);
        }
    )* };
}

wrong! {
    syntax: with("heads = 2", "heads = = 2");
    unclosed_list: with("length = [24, 40]", "length = [24, 40");
    unknown_key: with("length = [24, 40]", "lenght = [24, 40]");
    unknown_table: with("[accuracy]", "[acuracy]");
    wrong_type: with("heads = 2", "heads = \"two\"");
    wrong_type_in_a_list: with("length = [24, 40]", "length = [24, 4.5]");
    missing_key: with("length = [24, 40]", "");
    unknown_variant: unlisted(with("[variants.blocked]", "[variants.bloked]"));
    unknown_parameter: with("window = [4, \"N/4\"]", "width = 4");
    parameter_out_of_range: with("window = [4, \"N/4\"]", "window = [4, 0]");
    share_out_of_range: with("window = [4, \"N/4\"]", "window = \"N/32\"");
    unknown_workload: with("[\"gaussian\", \"clusters\"]", "[\"gaussian\", \"cluster\"]");
    entropy_out_of_range: with("[problem]", "entropy = [0.5, 1.5]\n[problem]");
    unknown_mask: with("heads = 2", "heads = 2\nmask = \"casual\"");
    contradicting_masks: with("heads = 2", "heads = 2\nmask = \"causal+causal-bottom-right\"");
    window_wider_than_any_history: with("heads = 2", "heads = 2\nmask = \"causal+window:64\"");
    misaligned_mask: with("heads = 2", "heads = 2\nqueries = 1\nmask = \"causal\"");
    queries_beyond_the_keys: with("heads = 2", "heads = 2\nqueries = 30\nmask = \"causal-bottom-right\"");
    key_heads_that_do_not_divide: with("heads = 2", "heads = 6\nkey_heads = [2, 4]");
    baseline_not_there: with("baseline = \"naive-gemm\"", "baseline = \"naive\"");
    ambiguous_baseline: with("baseline = \"naive-gemm\"", "baseline = \"sliding-window\"");
    rung_not_there: with("seed = 3", "ladder = [\"naive-gemm\", \"bloked\"]");
    rung_twice: with("seed = 3", "ladder = [\"blocked\", \"blocked\"]");
    ladder_of_one: with("seed = 3", "ladder = [\"blocked\"]");
    empty_list: with("length = [24, 40]", "length = []");
    repeated_value: with("length = [24, 40]", "length = [24, 40, 24]");
    log_not_there: with("[problem]", "[histories]\nlog = \"/nowhere/log.csv\"\n[problem]");
    unknown_log_format: with("[problem]", "[histories]\nformat = \"exel\"\n[problem]");
    padding_with_queries: with("heads = 2", "heads = 2\nqueries = 24\nmask = \"full\"\npadding = \"lognormal:1\"");
    jagged_batch_of_one: with("heads = 2", "heads = 2\nlayout = \"jagged\"");
    too_small_for_the_workload: report(support::TINY, &["problem.head_dimension=2", "inputs.workload=sink"]);
    more_rounds_than_allowed: with("min_rounds = 1", "min_rounds = 3");
    name_no_folder: with("name = \"tiny\"", "name = \"a/b\"");
    override_out_of_range: report(support::TINY, &["problem.threads=2", "problem.heads=0"]);
    override_of_an_unknown_key: report(support::TINY, &["problem.lengths=32"]);
    override_without_a_value: report(support::TINY, &["problem.length"]);
}

#[test]
fn overrides_lie_over_the_file_and_bare_words_are_strings() {
    let sets = [
        "problem.length=64",
        "problem.mask=causal-bottom-right+window:8",
        "variants.blocked={}",
        "seed=9",
    ];
    let config = support::config(&sets);
    assert_eq!(
        (config.problem.length.as_slice(), config.seed),
        ([64].as_slice(), 9)
    );
    assert_eq!(
        config.problem.mask[0].to_string(),
        "causal-bottom-right + window:8"
    );
    assert_eq!(config.problem.heads, [2], "what is not overridden stays");
    assert_eq!(config.overrides, sets);
}

#[test]
fn a_log_is_found_beside_the_config() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log.txt"), "ann tea\n").unwrap();
    let path = folder.path().join("x.toml");
    std::fs::write(&path, support::TINY).unwrap();
    let config = Config::load(&path, &["histories.log=log.txt".into()]).unwrap();
    assert_eq!(config.histories.log, Some(folder.path().join("log.txt")));
    let resolved = serde_json::to_value(&config).unwrap();
    assert_eq!(
        resolved["histories"]["log"], "log.txt",
        "the folder is no part of the experiment"
    );
}

#[test]
fn labels_name_what_varies_or_is_not_the_default() {
    let labels: Vec<_> = support::config(&[])
        .choices()
        .into_iter()
        .map(|c| c.label)
        .collect();
    assert_eq!(
        labels,
        [
            "naive-gemm",
            "blocked",
            "sliding-window window=4",
            "sliding-window window=N/4"
        ]
    );
    let baseline = support::config(&["baseline=sliding-window window=N/4"]).baseline;
    assert_eq!(baseline.as_deref(), Some("sliding-window window=N/4"));
}

#[test]
fn defaults_are_filled_in_and_the_readme_names_every_key() {
    let least = "name = 'x'\n[problem]\nlength = 8\n[variants.blocked]\n";
    let config = Config::parse("x.toml", least, &[]).unwrap();
    assert_eq!(
        (
            config.problem.heads[0],
            config.problem.head_dimension[0],
            config.accuracy.rows
        ),
        (4, 64, 256)
    );
    assert_eq!(config.inputs.workload, ["clusters"]);
    let readme = include_str!("../README.md");
    for key in experiment::config::KEYS {
        assert!(
            readme.contains(&format!("`{}`", key.name)),
            "{} is not in the README",
            key.name
        );
    }
}

#[test]
fn every_embedded_experiment_is_valid_and_asks_a_question() {
    for preset in experiment::experiments() {
        let config = Config::parse(preset.name, preset.text, &[])
            .unwrap_or_else(|e| panic!("{}: {e}", preset.name));
        assert_eq!(config.name, preset.name);
        assert!(
            config.question.contains('?'),
            "{} asks nothing",
            preset.name
        );
        assert!(config.baseline.is_some());
    }
}

#[test]
fn a_ladder_keeps_its_order_and_names_stand_for_a_single_point() {
    let sets = ["ladder=[\"sliding-window window=4\", \"naive-gemm\", \"blocked\"]"];
    let config = support::config(&sets);
    let rungs = ["sliding-window window=4", "naive-gemm", "blocked"];
    assert_eq!(config.ladder, rungs);
    let plan = support::plan(&config, None);
    let of = |label: &str| {
        let cell = plan.groups[0].cells.iter().find(|c| c.label == label);
        cell.and_then(|c| c.variant.rung)
    };
    assert_eq!(rungs.map(of), [Some(0), Some(1), Some(2)]);
    assert_eq!(of("sliding-window window=N/4"), None);
}
