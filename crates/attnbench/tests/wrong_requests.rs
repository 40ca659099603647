//! Wrong requests: exit code 2, a message that says what and what to do, and nothing written.

mod support;

use ndarray::{Array1, Array2};
use support::{Place, checkerboard, tensor};

fn placed() -> Place {
    let place = Place::new();
    place.npy("q.npy", &tensor((1, 2, 9, 5), 1));
    place.npy("k.npy", &tensor((1, 2, 13, 5), 2));
    place.npy("v.npy", &tensor((1, 2, 13, 3), 3));
    place
}

/// Each must be refused with exit code 2 and these words, leaving no file behind.
fn refused(place: &Place, cases: &[(&str, &[&str])]) {
    for (arguments, expected) in cases {
        let before = place.files();
        let stderr = place.fails(2, &format!("apply {arguments}"));
        for words in *expected {
            assert!(
                stderr.contains(words),
                "`{words}` is not in the answer to {arguments}:\n{stderr}"
            );
        }
        assert!(stderr.starts_with("error: "), "{stderr}");
        assert_eq!(place.files(), before, "{arguments}");
    }
}

#[test]
fn names_and_syntax() {
    let place = placed();
    refused(
        &place,
        &[
            (
                "--variant blokced --q q.npy --k k.npy --v v.npy --out o.npy",
                &[
                    "unknown variant `blokced`, did you mean `blocked`?",
                    "help: `attnbench list variants`",
                ],
            ),
            (
                "--variant sliding-window --set windw=3 --q q.npy --k k.npy --v v.npy --out o.npy",
                &["no parameter `windw`, did you mean `window`?"],
            ),
            (
                "--variant sliding-window:window=0 --q q.npy --k k.npy --v v.npy --out o.npy",
                &["window = 0: expected a whole number from 1 on"],
            ),
            (
                "--variant blocked --mask casual --q q.npy --k k.npy --v v.npy --out o.npy",
                &["did you mean `causal`?", "window:W"],
            ),
            (
                "--variant blocked --mask window:none --q q.npy --k k.npy --v v.npy --out o.npy",
                &["a window needs a whole number from 1 on"],
            ),
            (
                "--variant blocked --scale nan --q q.npy --k k.npy --v v.npy --out o.npy",
                &["expected a finite number"],
            ),
            (
                "--variant blocked --threads 0 --q q.npy --k k.npy --v v.npy --out o.npy",
                &["0 is not in 1..=4096"],
            ),
            (
                "--variant blocked --q q.npy --k k.npy --v v.npy --out o.npy --grad q.npy",
                &["--out-grads"],
            ),
            (
                "--variant blocked --q q.npy --out o.npy",
                &["--k <FILE>", "--v <FILE>"],
            ),
        ],
    );
}

#[test]
fn files_and_shapes() {
    let place = placed();
    place.npy("short.npy", &tensor((1, 2, 12, 5), 2));
    place.npy(
        "three.npy",
        &tensor((1, 2, 12, 5), 2).index_axis_move(ndarray::Axis(0), 0),
    );
    place.npy("whole.npy", &Array1::from(vec![1i64]));
    place.npy("long.npy", &Array1::from(vec![14i64]));
    place.npy("minus.npy", &Array1::from(vec![-1i64]));
    place.npy("two.npy", &Array1::from(vec![1i64, 2]));
    place.npy("dense.npy", &checkerboard(9, 12));
    place.npy("bytes.npy", &Array2::<u8>::ones((9, 13)));
    place.npy(
        "huge.npy",
        &tensor((1, 2, 9, 5), 1).mapv(|x| f64::from(x) * 1e300),
    );
    let whole = std::fs::read(place.path("k.npy")).unwrap();
    std::fs::write(place.path("cut.npy"), &whole[..whole.len() - 7]).unwrap();
    std::fs::write(place.path("head.npy"), &whole[..20]).unwrap();
    std::fs::write(place.path("text.npy"), "q").unwrap();
    std::fs::write(place.path("text.safetensors"), "q").unwrap();
    std::fs::write(place.path("q.csv"), "1,2").unwrap();
    let promise =
        String::from_utf8_lossy(&whole[..128]).replace("(1, 2, 13, 5)", "(9999999, 9999999, 9, 9)");
    assert!(promise.contains("9999999"));
    let mut lying = whole[..10].to_vec();
    lying.extend(promise.chars().skip(10).take(117).map(|c| c as u8));
    lying.push(b'\n');
    std::fs::write(place.path("lie.npy"), lying).unwrap();
    let keys = |file: &str| format!("--variant blocked --q q.npy --k {file} --v v.npy --out o.npy");
    let masked = |mask: &str| {
        format!("--variant blocked --q q.npy --k k.npy --v v.npy --out o.npy --mask {mask}")
    };
    let cases: Vec<(String, &[&str])> = vec![
        (
            keys("nowhere.npy"),
            &["cannot read nowhere.npy", "No such file"],
        ),
        (
            keys("short.npy"),
            &["V has shape [1, 2, 13, 3], expected [B, Hkv, Nk, Dv] = [1, 2, 12, 3]"],
        ),
        (
            keys("three.npy"),
            &[
                "float32 of shape [2, 12, 5]",
                "expected float32 of shape [B, H, N, D]",
            ],
        ),
        (keys("whole.npy"), &["holds whole numbers of shape [1]"]),
        (keys("huge.npy"), &["which float32 cannot"]),
        (
            keys("cut.npy"),
            &[
                "has 513 bytes of data where its header promises 520",
                "cut off",
            ],
        ),
        (keys("head.npy"), &["no .npy file that can be read"]),
        (keys("text.npy"), &["no .npy file that can be read"]),
        (keys("lie.npy"), &["promises"]),
        (
            keys("text.safetensors"),
            &["no .safetensors file that can be read"],
        ),
        (keys("q.csv"), &["neither .npy nor .safetensors"]),
        (
            masked("lengths:two.npy"),
            &["key lengths has shape [2], expected [B] = [1]"],
        ),
        (
            masked("lengths:long.npy"),
            &["key length = 14: at most Nk = 13"],
        ),
        (masked("lengths:minus.npy"), &["holds -1"]),
        (
            masked("lengths:q.npy"),
            &["expected int64 lengths of shape [B]"],
        ),
        (
            masked("dense:dense.npy"),
            &["dense mask has shape [9, 12], expected [Nq, Nk] = [9, 13]"],
        ),
        (masked("dense:bytes.npy"), &["bool as a dense mask"]),
        (
            "--variant blocked --q q.npy --k k.npy --v v.npy --out nowhere/o.npy".into(),
            &["nowhere is no folder", "create it first"],
        ),
        (
            "--variant blocked --q q.npy --k k.npy --v v.npy --out q.npy".into(),
            &["would overwrite the input q.npy"],
        ),
    ];
    let cases: Vec<(&str, &[&str])> = cases.iter().map(|(a, b)| (a.as_str(), *b)).collect();
    refused(&place, &cases);
}

#[test]
fn what_a_variant_lacks_is_refused_with_its_reason_and_who_has_it() {
    let place = placed();
    place.npy("do.npy", &tensor((1, 2, 9, 3), 4));
    let list: serde_json::Value =
        serde_json::from_str(&place.well("list variants --json")).unwrap();
    let mut tried = 0;
    for variant in list.as_array().unwrap() {
        let name = variant["name"].as_str().unwrap();
        for (feature, request) in [
            ("backward", "--grad do.npy --out-grads g_"),
            ("window mask", "--mask window:3"),
        ] {
            let Some(reason) = variant["lacks"][feature].as_str() else {
                continue;
            };
            tried += 1;
            let request =
                format!("--variant {name} --q q.npy --k k.npy --v v.npy --out o.npy {request}");
            refused(
                &place,
                &[(
                    &request,
                    &[
                        &format!("{name} does not support {feature}: {reason}"),
                        "these variants support it: ",
                    ],
                )],
            );
        }
    }
    assert!(tried > 0);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_to_is_known_before_the_work() {
    use std::os::unix::fs::PermissionsExt;
    let place = placed();
    let folder = place.path("closed");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(folder.join("probe"), "").is_ok() {
        // Permissions do not bind the superuser.
        return;
    }
    let stderr = place.fails(
        1,
        "apply --variant blocked --q q.npy --k k.npy --v v.npy --out closed/o.npy",
    );
    assert!(
        stderr.contains("cannot write closed/o.npy") && stderr.contains("help: "),
        "{stderr}"
    );
}
