use std::path::PathBuf;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A folder could not be made.
    #[error(
        "cannot make the folder {path}: {source}; choose a folder you may write to, or free the name"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error(
        "cannot write {path}: {source}; check that the folder is writable and the disk is not full"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A chart could not be drawn.
    #[error("cannot draw the chart {chart}: {message}")]
    Draw {
        /// Which chart.
        chart: String,
        /// What the drawing library said.
        message: String,
    },
    /// The page could not be filled in.
    #[error("cannot fill in the page: {0}")]
    Page(#[from] minijinja::Error),
}
