//! Where a config's files lie.

use std::path::{Path, PathBuf};

/// A file relative to the config's folder, or else to the folder in `ATTNBENCH_DATA`.
///
/// # Errors
/// The places where it was looked for, in words.
pub(crate) fn find(given: &Path, folder: Option<&Path>) -> Result<PathBuf, String> {
    let near = folder.map_or_else(|| given.to_path_buf(), |folder| folder.join(given));
    let data = std::env::var_os("ATTNBENCH_DATA").filter(|_| given.is_relative());
    let data = data.map(|data| Path::new(&data).join(given));
    let tried: Vec<PathBuf> = std::iter::once(near).chain(data).collect();
    if let Some(found) = tried.iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    let places: Vec<_> = tried
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let unset = given.is_relative() && std::env::var_os("ATTNBENCH_DATA").is_none();
    let unset = if unset {
        " (ATTNBENCH_DATA is not set)"
    } else {
        ""
    };
    Err(places.join(" and ") + unset)
}
