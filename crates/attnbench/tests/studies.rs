//! `train`, `evaluate`, `recommend` and `export` on a tiny simulated shop.

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{Place, texts};

const SHOP: &str = r#"
name = "corner-shop"
[data]
simulated = { users = 80, items = 120, clusters = 8, median_length = 30.0, max_length = 60 }
[evaluation]
seen = "kept"
lengths = [20]
[training]
loss = { name = "softmax" }
batch = 16
epochs = 3
learning_rate = 0.005
[models.sasrec]
model = { sasrec = { width = 8, longest = 20, blocks = 1, positions = "from-first" } }
vary_attention = true
[variants.blocked]
seeds = [0, 1]
[variants.favor-8]
variant = "favor"
parameters = { features = 8 }
[swap]
model = "sasrec"
[latency]
lengths = [10]
seconds = 0.1
"#;

fn placed() -> Place {
    let place = Place::new();
    std::fs::write(place.path("shop.toml"), SHOP).unwrap();
    place
}

fn weights(out: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(out.join("trainings"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path().join("model.safetensors");
            let bytes = std::fs::read(&path).unwrap();
            (path.strip_prefix(out).unwrap().to_owned(), bytes)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_study_is_trained_swapped_timed_and_told() {
    let place = placed();
    let output = place.run("train shop.toml --out out");
    let (text, told) = texts(&output);
    let lines = |what: &str| told.lines().filter(|line| line.contains(what)).count();
    assert_eq!(
        (lines("  epoch "), lines(", step ")),
        (3 * 3, 0),
        "a line an epoch where nobody looks on\n{told}"
    );
    assert!(text.starts_with("test part of leave-one-out"), "{text}");
    for row in [
        "popularity ",
        "item-kNN ",
        "sasrec, blocked, seed 1 ",
        "sasrec, favor-8, seed 0 ",
        "sasrec, favor-8, swapped in ",
        "sasrec, favor-8, swapped in and fine-tuned ",
        "Best is sasrec, ",
        "Swapped into the trained model, against sasrec, blocked over the same users: ",
        "With a state of users kept, a request after 10 events takes ",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(row)),
            "{row}\n{text}"
        );
    }
    let out = place.path("out");
    for file in [
        "study.json",
        "summary.csv",
        "report.html",
        "charts/ranking-latency.svg",
        "charts/ranking-latency.png",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let rows = std::fs::read_to_string(out.join("records.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = rows
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 2 + 3 + 2);
    let swapped = rows.iter().find(|row| row["origin"] == "swapped").unwrap();
    assert_eq!(swapped["against"]["name"], "sasrec, blocked");
    let lines = |name: &str| {
        std::fs::read_to_string(out.join(name))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!(
        lines("latency.jsonl"),
        2 + 2 + 2,
        "a step, a request and one with the state kept, of each attention"
    );
    assert_eq!(lines("trainings/sasrec-blocked-seed1/epochs.jsonl"), 3);

    let output = place.run("train shop.toml --out out");
    let (again, told) = texts(&output);
    assert_eq!(again, text, "nothing is trained twice");
    assert!(
        told.contains("3 trainings, 3 of them finished by an earlier call"),
        "{told}"
    );

    let text = place
        .well("evaluate out/trainings/sasrec-blocked-seed0 --variant blocked --variant linear-elu");
    let row = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!((row("blocked "), row("linear-elu ")), (2, 1), "{text}");
    assert!(
        text.contains("+0.0000 (+0.0000 to +0.0000)"),
        "the same attention changes nothing\n{text}"
    );

    let text = place.well("recommend out/trainings/sasrec-blocked-seed0 --user user-3 --top 4");
    assert_eq!(
        text.lines().filter(|line| line.contains(" %  ")).count(),
        8,
        "{text}"
    );
    let items = place.well(
        "recommend out/trainings/sasrec-blocked-seed0 --history item-5,item-7,item-5 --top 4",
    );
    assert_ne!(items, text);

    let text =
        place.well("export out/trainings/sasrec-blocked-seed0 --qkv qkv.safetensors --length 12");
    assert!(
        text.starts_with("layer 0: [8, 1, 12, 8], entropy of its softmax by head 0."),
        "{text}"
    );
    let text = place.well(
        "apply --variant blocked --q qkv.safetensors --k qkv.safetensors --v qkv.safetensors --out o.npy",
    );
    assert!(place.path("o.npy").is_file(), "{text}");

    let text = place.well(
        "run trained-inputs --out swept --set problem.length=[6,12] --filter variant=linear-* \
         --set problem.threads=1 --set time.seconds_per_group=0.05",
    );
    assert!(text.contains("Open this file in a browser: "), "{text}");
    let rows = std::fs::read_to_string(place.path("swept/records.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 4);
    for row in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        assert_eq!(row["status"], "ok", "{row}");
        assert_eq!(
            (&row["shape"]["b"], &row["shape"]["h"], &row["shape"]["d"]),
            (&8.into(), &1.into(), &8.into()),
            "sizes are those of the model"
        );
    }
}

/// Epochs that a study has written so far, over all its trainings.
fn epochs(out: &Path) -> usize {
    let folders = std::fs::read_dir(out.join("trainings"))
        .into_iter()
        .flatten();
    let lines = |folder: std::fs::DirEntry| {
        let text = std::fs::read_to_string(folder.path().join("epochs.jsonl"));
        text.map_or(0, |text| text.lines().count())
    };
    folders.flatten().map(lines).sum()
}

/// Processes are killed wherever they are when so many epochs are written; what they leave is gone on with.
#[test]
fn a_killed_training_goes_on_to_the_same_bits() {
    let place = placed();
    let request = |out: &str| {
        format!("train shop.toml --out {out} --set latency={{lengths=[]}} --set training.epochs=20")
    };
    place.well(&request("whole"));
    let out = place.path("broken");
    for (n, written) in [1, 9, 19, 30, 48].into_iter().enumerate() {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("attnbench"))
            .args(request("broken").split_whitespace())
            .current_dir(place.dir.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while epochs(&out) < written {
            assert!(
                child.try_wait().unwrap().is_none(),
                "ended before it was killed"
            );
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "no epoch for long"
            );
        }
        // Somewhere within the next epoch, at another place each time.
        std::thread::sleep(Duration::from_micros(700 * n as u64));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(epochs(&out) < 60, "it was killed before its end");
    place.well(&request("broken"));
    assert_eq!(weights(&place.path("whole")), weights(&out));
}

#[test]
fn mistakes_are_told_where_they_are() {
    let place = placed();
    let wrong = |set: &str| place.fails(2, &format!("train shop.toml --set {set}"));
    let text = wrong("models.sasrec.model={sasrec={widht=8}}");
    assert!(text.contains("widht") && text.contains("--set"), "{text}");
    let text = wrong("variants.linear-elu={parameters={features=3}}");
    assert!(
        text.contains("`linear-elu` has no parameter `features`"),
        "{text}"
    );
    let text = wrong("swap.model=sasrek");
    assert!(text.contains("did you mean `sasrec`?"), "{text}");
    let text = wrong("models.sasrec.training.features=[\"title\"]");
    assert!(text.contains("data.items"), "{text}");
    let simulated = SHOP.lines().find(|line| line.starts_with("simulated"));
    let elsewhere = SHOP.replace(simulated.unwrap(), "log = \"no-such.tsv\"");
    std::fs::write(place.path("elsewhere.toml"), elsewhere).unwrap();
    let text = place.fails(2, "train elsewhere.toml");
    assert!(
        text.contains("no-such.tsv") && text.contains("ATTNBENCH_DATA"),
        "{text}"
    );
    let text = place.fails(2, "train shop.toml --only nothing-like-it");
    assert!(text.contains("sasrec-favor-8-seed0"), "{text}");
    let text = place.fails(2, "train shop.toml --only favor-8 --only blocked-seed0");
    assert!(
        text.contains("no training is called `blocked-seed0`"),
        "{text}"
    );
    let text = place.fails(2, "train no-such-study");
    assert!(text.contains("recommender-simulated"), "{text}");
    let text = place.fails(2, "recommend . --user 1");
    assert!(text.contains("training.json"), "{text}");
    place.well("train shop.toml --out out --set training.epochs=1 --only sasrec-blocked-seed0");
    let text = place.fails(
        2,
        "recommend out/trainings/sasrec-blocked-seed0 --user nobody",
    );
    assert!(text.contains("no user `nobody`"), "{text}");
    let text = place.fails(
        2,
        "train shop.toml --out out --set training.learning_rate=0.1",
    );
    assert!(
        text.contains("other settings") && text.contains("--fresh"),
        "{text}"
    );
}
