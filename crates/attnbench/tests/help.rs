//! The manual: help texts, as they are.

mod support;

use support::Place;

/// A help text without the part that derives from registries, which grow.
fn help(arguments: &str) -> String {
    let text = Place::new().well(arguments);
    let own = ["\nNAME is one of", "\nConfig (TOML"]
        .iter()
        .filter_map(|start| text.find(start));
    text[..own.min().unwrap_or(text.len())]
        .trim_end()
        .to_owned()
}

#[test]
fn without_arguments_it_says_what_to_try_first() {
    let text = help("");
    assert_eq!(text, help("-h"));
    insta::assert_snapshot!("attnbench", text);
}

#[test]
fn subcommands() {
    for name in [
        "demo",
        "run",
        "plan",
        "report",
        "train",
        "evaluate",
        "recommend",
        "export",
        "list",
        "apply",
        "verify",
        "doctor",
    ] {
        insta::assert_snapshot!(name, help(&format!("{name} --help")));
    }
}

#[test]
fn the_manual_knows_every_key_of_a_config_and_every_variant() {
    let place = Place::new();
    let text = place.well("run --help");
    for words in [
        "[problem]",
        "length = ",
        "seconds_per_group = ",
        "[variants.NAME]",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    let apply = place.well("apply --help");
    let list: serde_json::Value =
        serde_json::from_str(&place.well("list variants --json")).unwrap();
    for variant in list.as_array().unwrap() {
        assert!(apply.contains(variant["name"].as_str().unwrap()));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    use std::process::{Command, Stdio};
    let program = assert_cmd::cargo::cargo_bin("attnbench");
    let mut command = Command::new(program);
    command
        .args(["list", "variants", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn an_unknown_subcommand_is_a_wrong_request() {
    let stderr = Place::new().fails(2, "lst");
    assert!(stderr.contains("unrecognized subcommand 'lst'"), "{stderr}");
}
