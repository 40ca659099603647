//! What can be wrong with a request, as one typed error.

/// Why a variant did not answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor's shape does not fit the others.
    #[error("{tensor} has shape {found:?}, expected {expected}")]
    Shape {
        /// The tensor, by its letter.
        tensor: &'static str,
        /// The shape that was given.
        found: Vec<usize>,
        /// The shape that fits, in letters and numbers.
        expected: String,
    },
    /// An output whose last axis is not contiguous.
    #[error("{tensor} has strides {strides:?}; its last axis must be contiguous (stride 1)")]
    Stride {
        /// The tensor, by its letter.
        tensor: &'static str,
        /// Its strides, in elements.
        strides: Vec<isize>,
    },
    /// The variant does not support what is asked.
    #[error("{variant} does not support {what}: {reason}")]
    Unsupported {
        /// The variant's registered name.
        variant: &'static str,
        /// What was asked for.
        what: String,
        /// Why it cannot be had.
        reason: &'static str,
    },
    /// A parameter out of its range.
    #[error("{parameter} = {value}: {expected}")]
    Parameter {
        /// The parameter's name.
        parameter: &'static str,
        /// The value that was given.
        value: String,
        /// What would be accepted.
        expected: String,
    },
    /// Jagged offsets that do not describe the tensor.
    #[error("{tensor} offsets: {reason}")]
    Offsets {
        /// `Q` or `K`.
        tensor: &'static str,
        /// What is wrong with them.
        reason: String,
    },
    /// A side input or learned parameter that is missing or does not fit.
    #[error(
        "{variant} needs the tensor `{name}` ({summary}) of shape {expected:?}, row-major, and found {found}"
    )]
    Tensor {
        /// The variant's registered name.
        variant: &'static str,
        /// The tensor's name.
        name: &'static str,
        /// What it is, in a line.
        summary: &'static str,
        /// The shape that fits.
        expected: Vec<usize>,
        /// What was given.
        found: String,
    },
    /// A thread pool could not be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The operating system's reason.
        reason: String,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Checks one tensor's shape.
///
/// # Errors
/// [`Error::Shape`] where `found` differs from `expected`.
pub fn expect_shape(
    tensor: &'static str,
    letters: &str,
    found: &[usize],
    expected: &[usize],
) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Shape {
        tensor,
        found: found.to_vec(),
        expected: format!("{letters} = {expected:?}"),
    })
}
