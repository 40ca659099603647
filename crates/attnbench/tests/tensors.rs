//! A sweep on tensors of files.

mod support;

use ndarray::Array4;
use serde_json::Value;
use std::path::Path;
use support::{Place, attention, read_npy, safetensors, tensor, texts};

const SWEEP: &str = r#"
name = "mine"
question = "Which is accurate here?"
baseline = "blocked"
[inputs]
workload = "tensors"
[tensors]
file = "qkv.safetensors"
[problem]
length = [6, 10]
threads = 1
[variants.blocked]
[variants.linear-elu]
[time]
warmup = 0
min_rounds = 1
max_rounds = 2
seconds_per_group = 0.05
"#;

/// Two histories of ten events in two layers, the last of which stands alone too.
fn layers() -> [[Array4<f32>; 3]; 2] {
    [0, 1].map(|layer| [1, 2, 3].map(|letter| tensor((2, 2, 10, 4), 10 * layer + letter)))
}

fn write(place: &Place, layers: &[[Array4<f32>; 3]; 2]) {
    let [first, last] = layers;
    let names = ["q", "k", "v"];
    let inner = [(0, first), (1, last)].map(|(n, layer)| {
        let named = names.map(|name| format!("layer.{n}.{name}"));
        named.into_iter().zip(layer)
    });
    let all: Vec<(String, &Array4<f32>)> = inner
        .into_iter()
        .flatten()
        .chain(names.map(String::from).into_iter().zip(last))
        .collect();
    let all: Vec<(&str, &Array4<f32>)> = all.iter().map(|(n, t)| (n.as_str(), *t)).collect();
    std::fs::write(place.path("qkv.safetensors"), safetensors(&all)).unwrap();
}

fn placed() -> Place {
    let place = Place::new();
    std::fs::write(place.path("mine.toml"), SWEEP).unwrap();
    write(&place, &layers());
    place
}

fn rows(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("records.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn manifest(dir: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(dir.join("manifest.json")).unwrap()).unwrap()
}

/// The folder that a plan names after the run's identity.
fn identity(place: &Place, sets: &str) -> String {
    let text = place.well(&format!("plan mine.toml {sets}"));
    let (_, folder) = text.rsplit_once("results in ").unwrap();
    folder.trim().to_owned()
}

#[test]
fn records_have_sizes_and_checksum_of_the_file_and_its_content_is_the_identity() {
    let place = placed();
    place.well("run mine.toml --out results");
    let dir = place.path("results");
    let measured = rows(&dir);
    assert_eq!(measured.len(), 4);
    let tensors = manifest(&dir)["tensors"].clone();
    assert_eq!(tensors["label"], "qkv.safetensors");
    assert_eq!(tensors["statistics"], "B=2 H=2 Hkv=2 Nq=10 Nk=10 D=4 Dv=4");
    for row in &measured {
        assert_eq!(row["status"], "ok", "{row}");
        assert_eq!(row["workload"]["label"], "tensors (qkv.safetensors)");
        assert_eq!(row["workload"]["data"], tensors["checksum"]);
        assert_eq!(
            (&row["shape"]["b"], &row["shape"]["h"], &row["shape"]["d"]),
            (&2.into(), &2.into(), &4.into())
        );
        assert!(row["accuracy"]["total"]["relative_frobenius"].is_f64());
    }

    let (_, stderr) = texts(&place.run("run mine.toml --out results"));
    assert!(
        stderr.contains("2 groups, 2 of them measured by an earlier call"),
        "{stderr}"
    );
    let before = identity(&place, "");
    assert_eq!(before, identity(&place, ""));
    assert_ne!(
        before,
        identity(&place, "--set tensors.layer=0"),
        "another layer"
    );

    let mut changed = layers();
    changed[1][2][[1, 1, 0, 0]] += 1.0;
    write(&place, &changed);
    assert_ne!(before, identity(&place, ""), "another file");
    let stderr = place.fails(2, "run mine.toml --out results");
    assert!(
        stderr.contains("other config, data, code or machine"),
        "{stderr}"
    );
    assert_eq!(rows(&dir), measured);
}

#[test]
fn the_error_is_that_of_the_variant_applied_to_the_same_tensors() {
    let place = placed();
    place.well(
        "run mine.toml --out results --set tensors.layer=0 --set problem.length=10 \
         --filter variant=linear-elu",
    );
    let [row] = rows(&place.path("results")).try_into().unwrap();
    assert_eq!(
        row["workload"]["label"],
        "tensors (qkv.safetensors:layer.0)"
    );
    let file = |letter: &str| format!("--{letter} qkv.safetensors:layer.0.{letter}");
    place.well(&format!(
        "apply --variant linear-elu --mask causal {} {} {} --out o.npy",
        file("q"),
        file("k"),
        file("v")
    ));
    let [[q, k, v], _] = &layers();
    let truth = attention([q, k, v], 0.5, |_, i, j| j <= i);
    let got = read_npy(&place.path("o.npy")).mapv(f64::from);
    let norm = |x: &Array4<f64>| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let expected = norm(&(&got - &truth)) / norm(&truth);
    let told = row["accuracy"]["total"]["relative_frobenius"].as_f64();
    assert!(
        (told.unwrap() - expected).abs() < 1e-5,
        "{told:?}, expected {expected}"
    );
}

#[test]
fn tensors_have_places_of_their_own_and_are_found_below_the_data_folder() {
    let place = placed();
    let data = tempfile::tempdir().unwrap();
    for (name, tensor) in ["q.npy", "k.npy", "v.npy"].iter().zip(&layers()[1]) {
        place.npy(name, tensor);
        std::fs::rename(place.path(name), data.path().join(name)).unwrap();
    }
    let arguments = "run mine.toml --out results --set problem.batch=1 --set problem.length=6 --set inputs.entropy=0.5 \
                     --set tensors={q='q.npy',k='k.npy',v='v.npy'}";
    let mut command = place.command(arguments);
    let output = command.env("ATTNBENCH_DATA", data.path()).output().unwrap();
    assert!(output.status.success(), "{}", texts(&output).1);
    for row in rows(&place.path("results")) {
        assert_eq!(row["workload"]["label"], "tensors (q.npy)");
        let entropy = row["problem"]["entropy"].as_f64().unwrap();
        assert!((entropy - 0.5).abs() < 1e-3, "{row}");
    }
    let given = manifest(&place.path("results"))["config"]["tensors"].clone();
    assert_eq!(given["k"], "k.npy", "the folder is no part of it");
}

#[test]
fn what_the_file_does_not_have_is_told_by_a_plan() {
    let place = placed();
    let text = place.well(
        "plan mine.toml --set problem.length=[10,16] --set problem.heads=[1,4] --set problem.head_dimension=8",
    );
    assert!(
        text.contains(
            "qkv.safetensors has H = 2, D = 4, N = 10, asked for is H = 4, D = 8, N = 16: set problem.heads to at \
             most 2, problem.head_dimension to 4, problem.length to at most 10"
        ),
        "{text}"
    );
    assert!(text.contains("4 groups, 8 cells, 8 skipped; "), "{text}");
    let text = place.well(
        "plan mine.toml --set problem.length=[10,16] --set inputs.workload=['clusters','tensors']",
    );
    assert!(
        text.contains("4 groups, 8 cells, 2 skipped; "),
        "clusters have any length\n{text}"
    );
}

#[test]
fn files_that_will_not_do_are_refused_with_what_to_do() {
    let place = placed();
    let refused = |sets: &str, expected: &[&str]| {
        let command = format!("run mine.toml {sets}");
        let output = place
            .command(&command)
            .env_remove("ATTNBENCH_DATA")
            .output()
            .unwrap();
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{sets}\n{stderr}");
        assert_eq!(stdout, "", "{sets}");
        for words in expected {
            assert!(
                stderr.contains(words),
                "`{words}` is not in the answer to {sets}:\n{stderr}"
            );
        }
    };
    refused(
        "--set tensors.file=none.safetensors",
        &[
            "error: [tensors]: no file none.safetensors",
            "(ATTNBENCH_DATA is not set)",
            "attnbench export RUN --qkv",
            "--set tensors.file=",
        ],
    );
    refused(
        "--set tensors.layer=2",
        &[
            "qkv.safetensors holds no tensor `layer.2.q`",
            "did you mean `layer.",
        ],
    );
    refused(
        "--set tensors.layer=last",
        &["`tensors.layer` is the string \"last\""],
    );
    refused(
        "--set tensors.file=q.npy",
        &["expected FILE.safetensors", "`tensors.q`,"],
    );
    refused("--set tensors.qq=x.npy", &["unknown key `qq` in [tensors]"]);

    let without = SWEEP.replace("[tensors]\nfile = \"qkv.safetensors\"\n", "");
    std::fs::write(place.path("without.toml"), without).unwrap();
    let stderr = place.fails(2, "run without.toml");
    assert!(stderr.contains("`tensors.file` is missing"), "{stderr}");

    place.npy("n.npy", &ndarray::Array4::<i64>::zeros((1, 1, 3, 2)));
    refused(
        "--set tensors.k=n.npy",
        &["n.npy holds whole numbers of shape [1, 1, 3, 2], expected float32"],
    );
    place.npy("flat.npy", &ndarray::Array2::<f32>::zeros((3, 2)));
    refused(
        "--set tensors.k=flat.npy",
        &["flat.npy holds float32 of shape [3, 2], expected float32 of shape [B, H, N, D]"],
    );
    place.npy("short.npy", &tensor((2, 2, 9, 4), 5));
    refused(
        "--set tensors.v=short.npy",
        &[
            "qkv.safetensors: V has shape [2, 2, 9, 4], expected",
            "help: Q is [B, H, Nq, D]",
        ],
    );
    let mut broken = layers();
    broken[1][0][[0, 1, 2, 3]] = f32::NAN;
    write(&place, &broken);
    refused("", &["qkv.safetensors:q holds NaN at [0, 1, 2, 3]"]);
    std::fs::write(place.path("qkv.safetensors"), b"torn").unwrap();
    refused("", &["is no .safetensors file that can be read"]);
    assert!(!place.path("runs").exists());
}
