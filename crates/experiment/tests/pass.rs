//! Forward, training and decode in one sweep.

mod support;

use experiment::record::{Record, Status};
use experiment::{Pass, RunDir};
use support::{config, plan, run_in};

const PASSES: &str = "problem.pass=[\"forward\", \"training\", \"decode\"]";

fn of<'r>(records: &'r [Record], name: &str, pass: Pass) -> &'r Record {
    let found = records
        .iter()
        .find(|r| r.variant.name == name && r.pass == pass);
    found.unwrap()
}

#[test]
fn training_is_gated_by_its_gradients_and_what_cannot_is_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let sets = [
        PASSES,
        "variants.naive={}",
        "variants.linear-elu={}",
        "problem.batch=3",
        "problem.padding=\"lognormal:0.8\"",
        "problem.layout=[\"padded\", \"jagged\"]",
        "problem.key_heads=1",
    ];
    let plan = plan(&config(&sets), Some("n=40,workload=clusters"));
    let records = run_in(folder.path(), &plan).records;
    for jagged in [false, true] {
        let rows: Vec<Record> = records
            .iter()
            .filter(|r| r.shape.jagged == jagged)
            .cloned()
            .collect();
        let (forward, training) = (
            of(&rows, "naive", Pass::Forward),
            of(&rows, "naive", Pass::Training),
        );
        assert_eq!(training.status, Status::Ok, "{:?}", training.reason);
        assert!(forward.gradients.is_none() && training.latency.is_some());
        let gradients = training.gradients.unwrap();
        assert!(gradients.passed && gradients.dq > 0.0 && gradients.dk > 0.0 && gradients.dv > 0.0);
        assert_eq!(training.cost.flops, forward.cost.flops * 7 / 2);
        assert_eq!(training.accuracy, forward.accuracy, "the same forward");
        for name in ["blocked", "sliding-window"] {
            let row = of(&rows, name, Pass::Training);
            let held = row.gradients.is_some_and(|g| g.passed);
            assert!(held, "{name}, by its own pattern: {:?}", row.reason);
        }
        for (name, pass, reason) in [
            (
                "linear-elu",
                Pass::Training,
                "its gradients cannot be judged",
            ),
            ("naive", Pass::Decode, "naive does not support prepare"),
        ] {
            let row = of(&rows, name, pass);
            assert_eq!(row.status, Status::Unsupported);
            assert!(
                row.reason.as_ref().unwrap().starts_with(reason),
                "{:?}",
                row.reason
            );
        }
    }
}

#[test]
fn forward_cells_are_the_same_with_and_without_other_passes() {
    let ids = |sets: &[&str], filter| -> Vec<String> {
        let plan = plan(&config(sets), filter);
        plan.groups
            .iter()
            .flat_map(|g| g.cells.iter().map(|c| c.id.clone()))
            .collect()
    };
    let alone = ids(&[], None);
    assert_eq!(alone, ids(&[PASSES], Some("pass=forward")));
    let training = ids(&[PASSES], Some("pass=training"));
    assert!(training.iter().all(|id| !alone.contains(id)));
    let described = serde_json::to_value(config(&["problem.pass=forward"])).unwrap();
    assert_eq!(described, serde_json::to_value(config(&[])).unwrap());
    assert!(
        described["problem"].get("pass").is_none(),
        "as before there was a choice"
    );
}

#[test]
fn rows_of_the_first_schema_are_of_the_forward_pass() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&config(&[]), Some("n=24,workload=gaussian"));
    let records = run_in(folder.path(), &plan).records;
    let path = folder.path().join("records.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"schema_version\":2,") && text.contains("\"pass\":\"forward\","));
    let first = text
        .replace("\"schema_version\":2,", "\"schema_version\":1,")
        .replace("\"pass\":\"forward\",", "");
    std::fs::write(&path, first).unwrap();
    let read = RunDir::open(folder.path()).unwrap().records;
    assert_eq!(read.len(), records.len());
    for (mut old, new) in read.into_iter().zip(records) {
        assert_eq!(old.schema_version, 1);
        old.schema_version = 2;
        assert_eq!(old, new);
    }
}
