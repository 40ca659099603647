//! `verify`: the conformance suite from outside.

mod support;

use attention::conformance::CHECKS;
use support::Place;

#[test]
fn a_variant_is_checked_with_its_defaults_and_near_the_ends_of_its_parameters() {
    let text = Place::new().well("verify sliding-window");
    let labels: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("sliding-window"))
        .collect();
    assert_eq!(
        labels,
        [
            "sliding-window",
            "sliding-window window=1",
            "sliding-window window=512"
        ]
    );
    for check in CHECKS {
        assert!(
            text.contains(&format!("  {:<14}  {}", check.name, check.protects)),
            "{text}"
        );
    }
    let checks = 3 * CHECKS.len();
    let summary = text.lines().last().unwrap();
    assert!(
        summary.starts_with(&format!("3 settings, {checks} checks: ")),
        "{summary}"
    );
    assert!(summary.ends_with(" 0 fail"), "{summary}");
}

#[test]
fn parameters_that_are_given_are_the_ones_that_are_checked() {
    let text = Place::new().well("verify sliding-window:window=16 linear-elu");
    let labels: Vec<&str> = text.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(labels[..2], ["sliding-window window=16", "linear-elu"]);
    assert!(
        text.contains("  not claimed  "),
        "an approximation has no log-sum-exp of its own:\n{text}"
    );
}

#[test]
fn wrong_names_are_wrong_requests() {
    let place = Place::new();
    assert!(
        place
            .fails(2, "verify nave")
            .contains("did you mean `naive`?")
    );
    assert!(
        place
            .fails(2, "verify sliding-window:window")
            .contains("no `key=value`")
    );
    assert!(
        place
            .fails(2, "verify sliding-window:window=x")
            .contains("a whole number from 1 on")
    );
}
