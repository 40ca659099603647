//! What code this is, fixed when it was compiled.

use serde::{Deserialize, Serialize};

/// The code: a hash of its sources, what compiled them, and where they stood in git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeIdentity {
    /// Hash of sources, compiler, profile, flags and target: cells of equal identity ran equal code.
    pub identity: String,
    /// BLAKE3 of all sources and of the lock file.
    pub sources: String,
    /// Commit; empty outside of git.
    pub git_revision: String,
    /// Whether sources differed from the commit.
    pub git_dirty: bool,
    /// `rustc -vV` in one line.
    pub rustc: String,
    /// `release (opt-level 3)`.
    pub profile: String,
    /// Compiler flags.
    pub rustflags: String,
    /// Target triple.
    pub target: String,
}

impl CodeIdentity {
    /// That of this program. Commit and dirty flag are no part of the hash: committing changes nothing.
    #[must_use]
    pub fn of_this_program() -> Self {
        let (sources, rustc) = (env!("EXPERIMENT_SOURCES"), env!("EXPERIMENT_RUSTC"));
        let (profile, flags) = (env!("EXPERIMENT_PROFILE"), env!("EXPERIMENT_RUSTFLAGS"));
        let target = env!("EXPERIMENT_TARGET");
        Self {
            identity: crate::hash::short([sources, rustc, profile, flags, target]),
            sources: sources.into(),
            git_revision: env!("EXPERIMENT_GIT_REVISION").into(),
            git_dirty: env!("EXPERIMENT_GIT_DIRTY") == "true",
            rustc: rustc.into(),
            profile: profile.into(),
            rustflags: flags.into(),
            target: target.into(),
        }
    }
}
