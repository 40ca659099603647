//! Where a log comes from and how it is filtered, with a cache so that it is read once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::k_core::k_core;
use crate::data::{Interactions, LogError, LogFormat, compact, read_bytes, read_log_from};

/// A log file and what is kept of it.
///
/// ```
/// use recommender::LogFormat;
/// use recommender::prepare::{Cache, LogSource};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("clicks.csv");
/// std::fs::write(&path, "user_id,item_id,timestamp\nann,tea,20\nbob,jam,15\nann,jam,10\n")?;
/// let source = LogSource { path, format: LogFormat::Auto, user_minimum: 1, item_minimum: 2 };
/// let cache = folder.path().join("cache");
/// let (log, made) = source.open(Some(&cache))?;
/// let (again, kept) = source.open(Some(&cache))?;
/// assert_eq!((made, kept), (Cache::Written, Cache::Read));
/// assert_eq!((again.items(), &again), (1, &log));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LogSource {
    /// The file, gzip or not.
    pub path: PathBuf,
    /// Its format; told from the file where it is not named.
    #[serde(default)]
    pub format: LogFormat,
    /// Events that a user must have, see [`k_core`]; 0 keeps all.
    #[serde(default)]
    pub user_minimum: usize,
    /// Events that an item must have; 0 keeps all.
    #[serde(default)]
    pub item_minimum: usize,
}

/// What a cache did. A cache that fails costs time, never the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cache {
    /// None was asked for.
    Unused,
    /// The log came from it.
    Read,
    /// The log was made, and is in it now.
    Written,
    /// The log was made and could not be kept.
    NotWritten {
        /// What the operating system said.
        reason: String,
    },
}

impl LogSource {
    /// Reads and filters the log, or takes it from the cache folder where it has been so before.
    ///
    /// A cached log is named by the BLAKE3 of the file's bytes and of all settings, so that a changed file or setting never
    /// meets an old one; it carries its own checksum, and a damaged one is made again. It is written under another name and
    /// then renamed: a reader never sees half of one.
    ///
    /// Cost from the cache: hashing the file, and about 20 ns an event.
    ///
    /// # Errors
    /// [`LogError`] as [`read_log`](crate::read_log).
    pub fn open(&self, cache: Option<&Path>) -> Result<(Interactions, Cache), LogError> {
        let bytes = read_bytes(&self.path)?;
        let Some(folder) = cache else {
            return Ok((self.make(bytes)?, Cache::Unused));
        };
        let kept = folder.join(self.name(&bytes));
        if let Some(log) = fs::read(&kept)
            .ok()
            .and_then(|bytes| compact::decode(&bytes))
        {
            return Ok((log, Cache::Read));
        }
        let log = self.make(bytes)?;
        let outcome = match write(folder, &kept, &compact::encode(&log)) {
            Ok(()) => Cache::Written,
            Err(error) => Cache::NotWritten {
                reason: error.to_string(),
            },
        };
        Ok((log, outcome))
    }

    fn make(&self, bytes: Vec<u8>) -> Result<Interactions, LogError> {
        let log = read_log_from(&self.path, bytes, &self.format)?;
        if self.user_minimum == 0 && self.item_minimum == 0 {
            return Ok(log);
        }
        Ok(k_core(&log, self.user_minimum, self.item_minimum))
    }

    fn name(&self, bytes: &[u8]) -> String {
        // The file's name takes part where the format is told from it.
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        let settings = format!(
            "{}\n{}\n{}\n{file}",
            self.format, self.user_minimum, self.item_minimum
        );
        let mut hasher = blake3::Hasher::new();
        hasher.update(blake3::hash(bytes).as_bytes());
        hasher.update(settings.as_bytes());
        format!("{}.log", &hasher.finalize().to_hex()[..32])
    }
}

fn write(folder: &Path, kept: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = kept.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, kept));
    if written.is_err() {
        // Nothing more can be done about a rest that cannot be removed either.
        let _ = fs::remove_file(&unfinished);
    }
    written
}
