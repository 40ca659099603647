//! Q, K and V from files, checked to be one problem.

use super::{Source, TensorError, read};
use crate::config::Tensors;
use crate::find::find;
use attention::{Problem, Shape};
use ndarray::{Array3, Array4, Axis};
use std::path::{Path, PathBuf};

/// Q `[B, H, Nq, D]`, K `[B, Hkv, Nk, D]` and V `[B, Hkv, Nk, Dv]`, all numbers finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Qkv {
    q: Array4<f32>,
    k: Array4<f32>,
    v: Array4<f32>,
    shape: Shape,
    label: String,
    checksum: String,
}

impl Qkv {
    /// Reads the three tensors, each looked for beside the config and then below `ATTNBENCH_DATA`.
    ///
    /// # Errors
    /// [`TensorError`] where a file is not there or cannot be read, where the tensors do not fit each
    /// other, and where a number is not finite.
    pub fn open(files: &Tensors) -> Result<Self, TensorError> {
        let tensor = |source: &Source, letter| {
            let source = Source {
                path: found(&source.path, files.folder.as_deref())?,
                tensor: source.tensor.clone(),
            };
            let tensor = read(&source, letter)?.tensor(&source)?;
            finite(&tensor, &source)?;
            Ok(tensor)
        };
        let (q, k, v) = (
            tensor(&files.q, "q")?,
            tensor(&files.k, "k")?,
            tensor(&files.v, "v")?,
        );
        Self::of(q, k, v, files.label())
    }

    pub(crate) fn of(
        q: Array4<f32>,
        k: Array4<f32>,
        v: Array4<f32>,
        label: String,
    ) -> Result<Self, TensorError> {
        const HELP: &str = "Q is [B, H, Nq, D], K [B, Hkv, Nk, D] and V [B, Hkv, Nk, Dv], H a \
                            multiple of Hkv, none of them empty";
        let problem = Problem::new(q.view(), k.view(), v.view());
        let shape = *problem
            .map_err(|error| TensorError::new(format!("{label}: {error}"), HELP))?
            .shape();
        if [&q, &k, &v].into_iter().any(|tensor| tensor.is_empty()) {
            let what = format!("{label} holds an empty tensor: {shape}");
            return Err(TensorError::new(what, HELP));
        }
        let mut hasher = blake3::Hasher::new();
        for tensor in [&q, &k, &v] {
            hasher.update(format!("{:?}", tensor.shape()).as_bytes());
            let bytes: Vec<u8> = tensor.iter().flat_map(|x| x.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        let checksum = hasher.finalize().to_hex().to_string();
        Ok(Self {
            q,
            k,
            v,
            shape,
            label,
            checksum,
        })
    }

    /// Sizes.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The file's name, and the layer.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// BLAKE3 of shapes and numbers.
    #[must_use]
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// Q `[H, Nq, D]`, K `[Hkv, Nk, D]` and V `[Hkv, Nk, Dv]` of one history: the first heads, the
    /// latest events. It [holds](Self::holds) such sizes.
    pub(crate) fn latest(
        &self,
        history: usize,
        (h, nq): (usize, usize),
        (hkv, nk): (usize, usize),
    ) -> [Array3<f32>; 3] {
        let cut = |tensor: &Array4<f32>, heads: usize, events: usize| {
            let mut one = tensor.index_axis(Axis(0), history);
            one.slice_axis_inplace(Axis(0), (..heads).into());
            let n = one.len_of(Axis(1));
            one.slice_axis_inplace(Axis(1), (n - events..).into());
            one.to_owned()
        };
        [
            cut(&self.q, h, nq),
            cut(&self.k, hkv, nk),
            cut(&self.v, hkv, nk),
        ]
    }
}

fn found(given: &Path, folder: Option<&Path>) -> Result<PathBuf, TensorError> {
    find(given, folder).map_err(|tried| {
        let help = format!(
            "looked for {tried}; a relative path is taken from the config's folder, then from the folder in \
             ATTNBENCH_DATA. `attnbench export RUN --qkv FILE.safetensors` writes Q, K and V of a trained model; \
             give them with --set tensors.file=/path/to/FILE.safetensors"
        );
        TensorError::new(
            format!("[tensors]: no file {}", given.display()),
            help.as_str(),
        )
    })
}

fn finite(tensor: &Array4<f32>, source: &Source) -> Result<(), TensorError> {
    match tensor.indexed_iter().find(|(_, x)| !x.is_finite()) {
        None => Ok(()),
        Some(((b, h, n, d), x)) => Err(TensorError::new(
            format!("{source} holds {x} at [{b}, {h}, {n}, {d}]"),
            "errors and entropy have no meaning there; write the tensors of a model whose numbers are finite",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_of_shapes_and_numbers() {
        let of = |shape: (usize, usize, usize, usize), last: f32| {
            let mut k = Array4::zeros(shape);
            k[[0, 0, 1, 1]] = last;
            let q = Array4::zeros((1, 1, 2, shape.3));
            Qkv::of(q, k.clone(), k, "x".into()).unwrap().checksum
        };
        assert_eq!(of((1, 1, 6, 2), 0.0), of((1, 1, 6, 2), 0.0));
        assert_ne!(of((1, 1, 6, 2), 0.0), of((1, 1, 6, 2), 1.0));
        assert_ne!(of((1, 1, 6, 2), 0.0), of((1, 1, 4, 3), 0.0));
    }

    #[test]
    fn tensors_that_are_no_problem_are_refused_with_their_shapes() {
        let of = |nk, nv| {
            Qkv::of(
                Array4::zeros((1, 1, 3, 4)),
                Array4::zeros((1, 1, nk, 4)),
                Array4::zeros((1, 1, nv, 4)),
                "x".into(),
            )
            .unwrap_err()
        };
        let error = of(5, 6);
        assert!(error.to_string().starts_with("x: V has shape"), "{error}");
        assert!(error.help().unwrap().contains("K [B, Hkv, Nk, D]"));
        assert!(of(0, 0).to_string().contains("an empty tensor"));
    }
}
