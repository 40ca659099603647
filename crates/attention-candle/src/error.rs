//! What can be wrong with a call, as one typed error.

/// Why an op was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The attention variant refuses the request, with its reason.
    #[error(transparent)]
    Attention(#[from] attention::Error),
    /// candle refuses it: shapes, types, devices.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A tensor of another shape than the op needs.
    #[error("{op}: {tensor} has shape {found:?}, expected {expected}")]
    Shape {
        /// The op.
        op: &'static str,
        /// The tensor's name in its signature.
        tensor: &'static str,
        /// The shape that was given.
        found: Vec<usize>,
        /// The shape that fits, in letters and numbers.
        expected: String,
    },
    /// An index beyond the rows of a table.
    #[error("{op}: row {row} of a table of {rows}; rows are counted from 0")]
    Row {
        /// The op.
        op: &'static str,
        /// The index.
        row: u32,
        /// How many rows there are.
        rows: usize,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Candle(error) => error,
            error => Self::wrap(error),
        }
    }
}

/// Checks a tensor's shape.
pub(crate) fn expect(
    op: &'static str,
    tensor: &'static str,
    letters: &str,
    found: &[usize],
    expected: &[usize],
) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Shape {
        op,
        tensor,
        found: found.to_vec(),
        expected: format!("{letters} = {expected:?}"),
    })
}

/// Checks that rows exist.
pub(crate) fn expect_rows(op: &'static str, ids: &[u32], rows: usize) -> Result<()> {
    match ids.iter().max() {
        Some(&row) if row as usize >= rows => Err(Error::Row { op, row, rows }),
        _ => Ok(()),
    }
}
