//! What can go wrong with a peer.

use std::path::PathBuf;

/// Why a peer gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It could not be started.
    #[error("{peer} is not here: {reason}; {install}")]
    Unavailable {
        /// Its name.
        peer: String,
        /// What happened when it was started.
        reason: String,
        /// How to get it.
        install: String,
    },
    /// It does not answer such a cell.
    #[error("{peer} does not support {what}")]
    Unsupported {
        /// Its name.
        peer: String,
        /// What it cannot do.
        what: String,
    },
    /// It tried and failed, in its own words.
    #[error("{peer} failed: {reason}")]
    Failed {
        /// Its name.
        peer: String,
        /// Its error message.
        reason: String,
    },
    /// Its process ended in the middle of a request.
    #[error("{peer} died ({status}){}", last_words(.stderr))]
    Died {
        /// Its name.
        peer: String,
        /// Exit status or signal.
        status: String,
        /// The last lines that it wrote to standard error.
        stderr: String,
    },
    /// It did not answer in time, and was ended.
    #[error("{peer} did not answer `{request}` within {seconds} s")]
    Timeout {
        /// Its name.
        peer: String,
        /// What it was asked.
        request: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It does not speak the protocol.
    #[error("{peer} does not speak the protocol: {reason}")]
    Protocol {
        /// Its name.
        peer: String,
        /// What it said instead.
        reason: String,
    },
    /// It is bound to fewer CPUs than it has threads, so that its times would be those of less.
    #[error(
        "{peer} may run on {cpus} CPU(s), but is asked for {threads} threads; start it unbound"
    )]
    Placement {
        /// Its name.
        peer: String,
        /// CPUs that it is allowed.
        cpus: usize,
        /// Threads that it should use.
        threads: usize,
    },
    /// The problem cannot be written down for a peer.
    #[error(transparent)]
    Problem(#[from] attention::Error),
    /// A file of tensors.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn last_words(stderr: &str) -> String {
    if stderr.is_empty() {
        ", without a word on standard error".into()
    } else {
        format!("; it said last: {stderr}")
    }
}
