//! Files that a reader never sees half written.

use crate::error::ReportError;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes `path` and its parents.
pub(crate) fn folder(path: &Path) -> Result<(), ReportError> {
    fs::create_dir_all(path).map_err(|source| ReportError::Folder {
        path: path.into(),
        source,
    })
}

/// Writes `path` by way of a neighbour that is renamed once `write` has filled it.
///
/// The neighbour keeps the extension, from which encoders tell the format.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let part =
        |name: Option<&std::ffi::OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
    let name = format!(
        ".{}.{}.part.{}",
        part(path.file_stem()),
        std::process::id(),
        part(path.extension())
    );
    let unfinished: PathBuf = path.with_file_name(name);
    let result = write(&unfinished).and_then(|()| {
        fs::rename(&unfinished, path).map_err(|source| ReportError::Write {
            path: path.into(),
            source,
        })
    });
    if result.is_err() {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&unfinished);
    }
    result
}

/// Writes `text` to `path` at once or not at all.
pub(crate) fn replace_text(path: &Path, text: &str) -> Result<(), ReportError> {
    replace(path, |unfinished| {
        fs::write(unfinished, text).map_err(|source| ReportError::Write {
            path: path.into(),
            source,
        })
    })
}
