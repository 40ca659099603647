//! What the tests of the command line share: the program, tensors, plain attention in f64.

#![allow(dead_code, reason = "each test file uses a part")]

use assert_cmd::Command;
use ndarray::{Array2, Array4, Dimension, ShapeBuilder};
use ndarray_npy::{WritableElement, WriteNpyExt};
use safetensors::tensor::{Dtype, TensorView};
use std::path::{Path, PathBuf};
use std::process::Output;

/// A folder of its own, and the program run in it.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn npy<A: WritableElement, D: Dimension>(
        &self,
        name: &str,
        array: &ndarray::Array<A, D>,
    ) {
        let file = std::fs::File::create(self.path(name)).unwrap();
        array.write_npy(file).unwrap();
    }

    /// Runs the program in this folder; words are parted by spaces.
    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::cargo_bin("attnbench").unwrap();
        // Help is wrapped to the terminal's width, which it may tell.
        command
            .env_remove("COLUMNS")
            .current_dir(self.dir.path())
            .args(arguments.split_whitespace());
        command
    }

    /// Runs the program, which must succeed, and gives its stdout.
    pub(crate) fn well(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{arguments}\n{stdout}\n{stderr}");
        stdout
    }

    /// Runs the program, which must fail so, and gives its stderr; stdout must be empty.
    pub(crate) fn fails(&self, code: i32, arguments: &str) -> String {
        let output = self.run(arguments);
        let (stdout, stderr) = texts(&output);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments}\n{stdout}\n{stderr}"
        );
        assert_eq!(stdout, "", "{arguments}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        stderr
    }

    /// Names of the files in the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

pub(crate) fn read_npy(path: &Path) -> Array4<f32> {
    ndarray_npy::read_npy(path).unwrap()
}

/// Numbers in [-2, 2) without pattern, the same for the same seed.
pub(crate) fn tensor<S: ShapeBuilder<Dim = ndarray::Ix4>>(shape: S, seed: u64) -> Array4<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    Array4::from_shape_simple_fn(shape, || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 22) as f32 - 2.0
    })
}

pub(crate) fn safetensors(tensors: &[(&str, &Array4<f32>)]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, t)| t.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, t), bytes)| {
        let view = TensorView::new(Dtype::F32, t.shape().to_vec(), bytes).unwrap();
        (*name, view)
    });
    safetensors::serialize(views, None).unwrap()
}

/// O = softmax(scale·QKᵀ)·V in f64 over the keys for which `visible(history, i, j)` holds; zero
/// where there are none.
pub(crate) fn attention(
    [q, k, v]: [&Array4<f32>; 3],
    scale: f64,
    visible: impl Fn(usize, usize, usize) -> bool,
) -> Array4<f64> {
    let ((b, h, nq, d), (_, hkv, nk, dv)) = (q.dim(), v.dim());
    let mut o = Array4::zeros((b, h, nq, dv));
    for history in 0..b {
        for head in 0..h {
            let key_head = head / (h / hkv);
            for i in 0..nq {
                let seen: Vec<usize> = (0..nk).filter(|&j| visible(history, i, j)).collect();
                let score = |j: usize| {
                    let terms = (0..d).map(|f| {
                        f64::from(q[[history, head, i, f]])
                            * f64::from(k[[history, key_head, j, f]])
                    });
                    (scale * terms.sum::<f64>()).exp()
                };
                let weights: Vec<f64> = seen.iter().map(|&j| score(j)).collect();
                let total: f64 = weights.iter().sum();
                for (weight, j) in weights.iter().zip(&seen) {
                    for f in 0..dv {
                        let value = f64::from(v[[history, key_head, *j, f]]);
                        o[[history, head, i, f]] += weight / total * value;
                    }
                }
            }
        }
    }
    o
}

pub(crate) fn close(got: &Array4<f32>, expected: &Array4<f64>, what: &str) {
    assert_eq!(got.shape(), expected.shape(), "{what}");
    for (index, expected) in expected.indexed_iter() {
        let got = f64::from(got[index]);
        assert!(
            (got - expected).abs() < 2e-5,
            "{what} {index:?}: {got}, expected {expected}"
        );
    }
}

/// A checkerboard with a blind row.
pub(crate) fn checkerboard(nq: usize, nk: usize) -> Array2<bool> {
    Array2::from_shape_fn((nq, nk), |(i, j)| i != 3 && (i + j) % 2 == 0)
}
