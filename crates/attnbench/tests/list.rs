//! `list` and `doctor`: every registry in full, as text and as JSON.

mod support;

use serde_json::Value;
use support::Place;

fn json(arguments: &str) -> Value {
    serde_json::from_str(&Place::new().well(arguments)).unwrap()
}

/// The entries of a list, whose names must all be in its text too.
fn entries(what: &str) -> Vec<Value> {
    let entries = json(&format!("list {what} --json"));
    let entries = entries.as_array().unwrap().clone();
    let text = Place::new().well(&format!("list {what}"));
    for entry in &entries {
        let name = entry["name"].as_str().unwrap();
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "{name} is not in\n{text}"
        );
    }
    entries
}

#[test]
fn variants_tell_what_they_take_and_can_do() {
    let variants = entries("variants");
    let named = |name: &str| variants.iter().find(|v| v["name"] == name).unwrap();
    for variant in &variants {
        let supported = variant["supports"].as_array().unwrap().len();
        let lacking = variant["lacks"].as_object().unwrap();
        assert_eq!(
            supported + lacking.len(),
            attention::Feature::ALL.len(),
            "{variant}"
        );
        assert!(
            lacking
                .values()
                .all(|reason| !reason.as_str().unwrap().is_empty())
        );
        for key in ["family", "time", "summary", "source"] {
            assert!(
                !variant[key].as_str().unwrap().is_empty(),
                "{key} of {variant}"
            );
        }
    }
    let window = &named("sliding-window")["parameters"][0];
    assert_eq!(window["name"], "window");
    assert_eq!(window["type"], "integer");
    assert_eq!(window["default"], 128);
    assert_eq!(window["min"], 1);
    assert_eq!(named("naive")["exact"], true);

    let text = Place::new().well("list variants");
    assert!(
        text.contains("window = 128 (a whole number from 1 on): "),
        "{text}"
    );
    assert!(text.contains("lacks     prepare: "), "{text}");
}

#[test]
fn a_choice_that_costs_a_feature_is_told() {
    let variants = entries("variants");
    let lost = variants
        .iter()
        .flat_map(|v| v["lacks_by_choice"].as_array().unwrap());
    let text = Place::new().well("list variants");
    for lost in lost {
        assert!(text.contains(lost.as_str().unwrap()), "{lost}");
    }
}

#[test]
fn workloads_metrics_and_experiments() {
    let workloads = entries("workloads");
    for needs in ["log", "tensors"] {
        assert!(workloads.iter().any(|w| w["needs"] == needs));
    }
    assert!(workloads.iter().any(|w| w["needs"].is_null()));
    let metrics = entries("metrics");
    let better = |name: &str| metrics.iter().find(|m| m["name"] == name).unwrap()["better"].clone();
    assert_eq!(better("median_ms"), "lower");
    assert_eq!(better("speedup"), "higher");
    for experiment in entries("experiments") {
        assert!(!experiment["question"].as_str().unwrap().is_empty());
        assert!(experiment["toml"].as_str().unwrap().contains("[variants."));
    }
}

#[test]
fn the_doctor_measures_and_counts_allocations() {
    let found = json("doctor --json");
    assert_eq!(found["allocations_counted"], true);
    assert!(found["peaks"][0]["gflops"].as_f64().unwrap() > 0.1);
    assert_eq!(found["peaks"][0]["threads"], 1);
    assert!(found["bandwidth"][0]["read_gb_s"].as_f64().unwrap() > 0.1);
    for warning in found["warnings"].as_array().unwrap() {
        assert!(!warning["advice"].as_str().unwrap().is_empty());
    }
    let text = Place::new().well("doctor");
    for words in [
        "processor",
        "ISA",
        "caches",
        "governor",
        "FMA peak",
        "bandwidth",
        "unpinned",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}
