//! Why a tensor cannot be had.

/// What is wrong with a tensor or its file, which the message names, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TensorError {
    what: String,
    help: Option<String>,
}

impl TensorError {
    pub(crate) fn new<'h>(what: impl Into<String>, help: impl Into<Option<&'h str>>) -> Self {
        Self {
            what: what.into(),
            help: help.into().map(str::to_owned),
        }
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}
