//! What a file holds, and what it can serve as without guessing.

use super::{Source, TensorError};
use ndarray::{Array2, Array4, ArrayD, Ix2, Ix4};

/// A tensor of one of the element types that files are read in.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// float32.
    F32(ArrayD<f32>),
    /// float64.
    F64(ArrayD<f64>),
    /// Whole numbers; those of 32 bits are widened.
    I64(ArrayD<i64>),
    /// Booleans.
    Bool(ArrayD<bool>),
}

impl Data {
    /// Whether [`tensor`](Self::tensor) and [`any`](Self::any) round it.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        matches!(self, Self::F64(_))
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::F32(x) => x.shape(),
            Self::F64(x) => x.shape(),
            Self::I64(x) => x.shape(),
            Self::Bool(x) => x.shape(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
            Self::I64(_) => "whole numbers",
            Self::Bool(_) => "booleans",
        }
    }

    fn mismatch(&self, source: &Source, expected: &str, help: &str) -> TensorError {
        let (kind, shape) = (self.kind(), self.shape());
        TensorError::new(
            format!("{source} holds {kind} of shape {shape:?}, expected {expected}"),
            help,
        )
    }

    /// A tensor `[B, H, N, D]` in f32 and in C order; `source` stands for it in errors. float64 is
    /// rounded.
    ///
    /// # Errors
    /// [`TensorError`] for other elements or axes, and for a finite number beyond the range of f32.
    pub fn tensor(self, source: &Source) -> Result<Array4<f32>, TensorError> {
        const EXPECTED: &str = "float32 of shape [B, H, N, D]";
        const HELP: &str =
            "reshape to four axes, and save with numpy.save(file, x.astype('float32'))";
        if self.shape().len() != 4 {
            return Err(self.mismatch(source, EXPECTED, HELP));
        }
        self.floats(source, EXPECTED, HELP)?
            .into_dimensionality::<Ix4>()
            .map_err(|error| TensorError::new(format!("{source}: {error}"), HELP))
    }

    /// As [`tensor`](Self::tensor), of any number of axes.
    ///
    /// # Errors
    /// [`TensorError`] for other elements, and for a finite number beyond the range of f32.
    pub fn any(self, source: &Source) -> Result<ArrayD<f32>, TensorError> {
        let help = "save with numpy.save(file, x.astype('float32'))";
        self.floats(source, "float32", help)
    }

    fn floats(
        self,
        source: &Source,
        expected: &'static str,
        help: &'static str,
    ) -> Result<ArrayD<f32>, TensorError> {
        let array = match self {
            Self::F32(x) => x,
            Self::F64(x) => {
                if let Some(big) = x
                    .iter()
                    .find(|x| x.is_finite() && !(**x as f32).is_finite())
                {
                    return Err(TensorError::new(
                        format!("{source} holds {big}, which float32 cannot"),
                        help,
                    ));
                }
                x.mapv(|x| x as f32)
            }
            other => return Err(other.mismatch(source, expected, help)),
        };
        Ok(if array.is_standard_layout() {
            array
        } else {
            array.as_standard_layout().into_owned()
        })
    }

    /// History lengths `[B]`.
    ///
    /// # Errors
    /// [`TensorError`] for anything else, and for a negative number.
    pub fn lengths(self, source: &Source) -> Result<Vec<usize>, TensorError> {
        const HELP: &str = "save with numpy.save(file, numpy.array(lengths, dtype='int64'))";
        let Self::I64(numbers) = &self else {
            return Err(self.mismatch(source, "int64 lengths of shape [B]", HELP));
        };
        if numbers.ndim() != 1 {
            return Err(self.mismatch(source, "int64 lengths of shape [B]", HELP));
        }
        let length = |&n: &i64| {
            usize::try_from(n).map_err(|_| {
                TensorError::new(format!("{source} holds {n}; a length is 0 or more"), None)
            })
        };
        numbers.iter().map(length).collect()
    }

    /// A boolean matrix `[Nq, Nk]`, true = visible.
    ///
    /// # Errors
    /// [`TensorError`] for anything else.
    pub fn visible(self, source: &Source) -> Result<Array2<bool>, TensorError> {
        const EXPECTED: &str = "booleans of shape [Nq, Nk], true = visible";
        const HELP: &str = "save with numpy.save(file, visible.astype(bool)); the same matrix \
                            serves every history and head";
        match self {
            Self::Bool(visible) if visible.ndim() == 2 => visible
                .into_dimensionality::<Ix2>()
                .map_err(|error| TensorError::new(format!("{source}: {error}"), HELP)),
            other => Err(other.mismatch(source, EXPECTED, HELP)),
        }
    }
}
