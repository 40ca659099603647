//! `apply` end to end, against attention in f64.

mod support;

use ndarray::{Array1, Array4, ShapeBuilder};
use serde_json::Value;
use support::{Place, attention, checkerboard, close, read_npy, safetensors, tensor};

const FILES: &str = "--q q.npy --k k.npy --v v.npy --out o.npy";

/// Three tensors of odd sizes with grouped heads, in files.
fn placed() -> (Place, [Array4<f32>; 3]) {
    let place = Place::new();
    let tensors = [
        tensor((2, 4, 9, 5), 1),
        tensor((2, 2, 13, 5), 2),
        tensor((2, 2, 13, 3), 3),
    ];
    for (name, tensor) in ["q.npy", "k.npy", "v.npy"].iter().zip(&tensors) {
        place.npy(name, tensor);
    }
    (place, tensors)
}

fn views(tensors: &[Array4<f32>; 3]) -> [&Array4<f32>; 3] {
    let [q, k, v] = tensors;
    [q, k, v]
}

fn default_scale() -> f64 {
    f64::from(1.0 / 5f32.sqrt())
}

#[test]
fn every_mask_alone_and_composed() {
    let (place, tensors) = placed();
    place.npy("n.npy", &Array1::from(vec![4i64, 13]));
    place.npy("n32.npy", &Array1::from(vec![4i32, 13]));
    place.npy("m.npy", &checkerboard(9, 13));
    type Rule = fn(usize, usize, usize) -> bool;
    fn length(b: usize, j: usize) -> bool {
        j < [4, 13][b]
    }
    let cases: [(&str, Rule); 9] = [
        ("", |_, _, _| true),
        ("--mask full", |_, _, _| true),
        ("--mask causal", |_, i, j| j <= i),
        ("--mask causal-bottom-right", |_, i, j| j <= i + 4),
        ("--mask window:3", |_, i, j| j <= i && i < j + 3),
        ("--mask lengths:n.npy", |b, _, j| length(b, j)),
        ("--mask lengths:n32.npy", |b, _, j| length(b, j)),
        ("--mask dense:m.npy", |_, i, j| i != 3 && (i + j) % 2 == 0),
        (
            "--mask causal --mask window:6 --mask lengths:n.npy --mask dense:m.npy",
            |b, i, j| j <= i && i < j + 6 && length(b, j) && i != 3 && (i + j) % 2 == 0,
        ),
    ];
    for (mask, rule) in &cases {
        place.well(&format!("apply --variant blocked {mask} {FILES}"));
        let expected = attention(views(&tensors), default_scale(), rule);
        close(&read_npy(&place.path("o.npy")), &expected, mask);
    }
}

#[test]
fn one_line_of_json_tells_the_time_and_nothing_else_is_on_stdout() {
    let (place, _) = placed();
    let stdout = place.well(&format!(
        "apply --variant sliding-window --set window=4 --threads 2 --repeat 5 --scale 0.5 --mask causal {FILES}"
    ));
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let row: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(row["variant"], "sliding-window");
    assert_eq!(row["parameters"]["window"], 4);
    assert_eq!(row["threads"], 2);
    assert_eq!(row["repeat"], 5);
    assert_eq!(row["scale"], 0.5);
    assert_eq!(row["mask"][0], "causal");
    let shape = serde_json::json!({"b": 2, "h": 4, "hkv": 2, "nq": 9, "nk": 13, "d": 5, "dv": 3});
    assert_eq!(row["shape"], shape);
    assert!(row["isa"].is_string() && row["scratch_bytes"].as_u64().unwrap() > 0);
    let ms = |key: &str| row[key].as_f64().unwrap();
    assert!(0.0 < ms("min_ms") && ms("min_ms") <= ms("median_ms"));
    assert!(ms("median_ms") <= ms("p90_ms"));
    assert!(row.get("backward").is_none());
}

#[test]
fn scale_and_parameters_reach_the_kernel() {
    let (place, tensors) = placed();
    place.well(&format!("apply --variant naive --scale 1 {FILES}"));
    let expected = attention(views(&tensors), 1.0, |_, _, _| true);
    close(&read_npy(&place.path("o.npy")), &expected, "scale 1");

    let window = |_: usize, i: usize, j: usize| j <= i && i < j + 2;
    let expected = attention(views(&tensors), default_scale(), window);
    for variant in ["sliding-window:window=2", "sliding-window --set window=2"] {
        place.well(&format!("apply --variant {variant} {FILES}"));
        close(&read_npy(&place.path("o.npy")), &expected, variant);
    }
}

#[test]
fn safetensors_by_letter_by_name_and_alone() {
    let (place, tensors) = placed();
    let [q, k, v] = views(&tensors);
    let write = |name: &str, tensors: &[(&str, &Array4<f32>)]| {
        std::fs::write(place.path(name), safetensors(tensors)).unwrap();
    };
    write("x.safetensors", &[("q", q), ("K", k), ("layer.0:v", v)]);
    write("only.safetensors", &[("whatever", v)]);
    let expected = attention([q, k, v], default_scale(), |_, _, _| true);
    for value in ["x.safetensors:layer.0:v", "only.safetensors"] {
        place.well(&format!(
            "apply --variant naive-gemm --q x.safetensors --k x.safetensors --v {value} --out o.safetensors"
        ));
        let bytes = std::fs::read(place.path("o.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let o = file.tensor("o").unwrap();
        let (chunks, _) = o.data().as_chunks();
        let numbers = chunks.iter().map(|b| f32::from_le_bytes(*b)).collect();
        close(
            &Array4::from_shape_vec((2, 4, 9, 3), numbers).unwrap(),
            &expected,
            value,
        );
    }
    let stderr = place.fails(
        2,
        "apply --variant naive --q x.safetensors --k x.safetensors:Kay --v x.safetensors --out o.npy",
    );
    assert!(stderr.contains("holds no tensor `Kay`"), "{stderr}");
    assert!(stderr.contains("it holds K, layer.0:v, q"), "{stderr}");
}

#[test]
fn memory_order_and_float64_do_not_matter() {
    let (place, tensors) = placed();
    let mut fortran = Array4::zeros((2, 4, 9, 5).f());
    fortran.assign(&tensors[0]);
    place.npy("q.npy", &fortran);
    place.npy("v.npy", &tensors[2].mapv(f64::from));
    let output = place.run(&format!("apply --variant blocked {FILES}"));
    let (_, stderr) = support::texts(&output);
    assert!(
        stderr.contains("v.npy is float64; rounded to float32"),
        "{stderr}"
    );
    let expected = attention(views(&tensors), default_scale(), |_, _, _| true);
    close(
        &read_npy(&place.path("o.npy")),
        &expected,
        "Fortran order and float64",
    );
}

#[test]
fn gradients_are_the_derivative() {
    let (place, tensors) = placed();
    let d_o = tensor((2, 4, 9, 3), 4);
    place.npy("do.npy", &d_o);
    let stdout = place.well(&format!(
        "apply --variant naive --mask causal {FILES} --grad do.npy --out-grads g_"
    ));
    let row: Value = serde_json::from_str(&stdout).unwrap();
    assert!(row["backward"]["median_ms"].as_f64().unwrap() > 0.0);
    let loss = |tensors: &[Array4<f32>; 3]| {
        let o = attention(views(tensors), default_scale(), |_, i, j| j <= i);
        o.iter()
            .zip(&d_o)
            .map(|(o, d)| o * f64::from(*d))
            .sum::<f64>()
    };
    for (which, name) in ["g_dq.npy", "g_dk.npy", "g_dv.npy"].iter().enumerate() {
        let gradient = read_npy(&place.path(name));
        assert_eq!(gradient.shape(), tensors[which].shape());
        for index in [[0, 0, 0, 0], [1, 1, 7, 2]] {
            let at = |step: f32| {
                let mut moved = tensors.clone();
                moved[which][index] += step;
                loss(&moved)
            };
            let slope = (at(1.0 / 1024.0) - at(-1.0 / 1024.0)) * 512.0;
            let got = f64::from(gradient[index]);
            assert!(
                (got - slope).abs() < 1e-3,
                "{name} {index:?}: {got}, expected {slope}"
            );
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (place, _) = placed();
    let run = |threads: usize| {
        place.well(&format!(
            "apply --variant blocked --threads {threads} {FILES}"
        ));
        std::fs::read(place.path("o.npy")).unwrap()
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn nothing_is_an_answer() {
    let place = Place::new();
    place.npy("q.npy", &tensor((2, 1, 3, 4), 1));
    place.npy("k.npy", &tensor((2, 1, 0, 4), 1));
    place.npy("v.npy", &tensor((2, 1, 0, 4), 1));
    place.well(&format!("apply --variant blocked {FILES}"));
    let o = read_npy(&place.path("o.npy"));
    assert!(o.dim() == (2, 1, 3, 4) && o.iter().all(|&x| x == 0.0));
}
