//! The folder of a run: `manifest.json`, `records.jsonl`, `summary.csv`.
//!
//! A reader never sees half a row as a whole one, a writer appends whole groups and repairs what a
//! killed one left, and manifest and summary are replaced in one step.

mod atomic;
mod lock;
mod manifest;
mod records;
mod summary;
mod writer;

pub(crate) use atomic::replace;
pub(crate) use lock::Lock;
pub use manifest::{DataSource, Manifest, Session};
pub(crate) use writer::Writer;

use crate::record::Record;
use std::io;
use std::path::{Path, PathBuf};

/// File of the records.
pub const RECORDS: &str = "records.jsonl";
/// File of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// File of the summary.
pub const SUMMARY: &str = "summary.csv";

/// What can be wrong with a folder of results.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {what} {}: {source}{}", .path.display(), advice(.source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no run.
    #[error("{}: {reason}; give the folder of a run, which holds {MANIFEST} and {RECORDS}", .path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A row in the middle is damaged, which no killed run leaves.
    #[error("{}, line {line}: {reason}; restore the file, or start anew with --fresh", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// It was written by a newer program.
    #[error("{}: schema version {found}, this program reads up to {known}; update it", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        known: u32,
    },
    /// The folder holds another run.
    #[error(
        "{} holds a run of other config, data, code or machine ({found}, this one is {expected}); \
         choose another folder, or start anew with --fresh", .path.display()
    )]
    OtherRun {
        /// The folder.
        path: PathBuf,
        /// Identity of the run there.
        found: String,
        /// Identity of this run.
        expected: String,
    },
    /// Another process writes there.
    #[error("{} is being written by another process; wait for it, or choose another folder", .path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder that you may write to, with --out"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space and run again, it continues where it was"
        }
        _ => "",
    }
}

impl StoreError {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.into(),
            source,
        }
    }
}

/// A finished or unfinished run, as a reader sees it.
#[derive(Debug, Clone)]
pub struct RunDir {
    /// The folder.
    pub path: PathBuf,
    /// Config, machine, code.
    pub manifest: Manifest,
    /// Rows, in the order of the file.
    pub records: Vec<Record>,
}

impl RunDir {
    /// Reads a run, which may be in progress: a torn last line is left out, nothing is changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let manifest = Manifest::read(path)?.ok_or_else(|| StoreError::NotARun {
            path: path.into(),
            reason: format!("there is no {MANIFEST}"),
        })?;
        let records = records::read(&path.join(RECORDS))?.records;
        Ok(Self {
            path: path.into(),
            manifest,
            records,
        })
    }
}
