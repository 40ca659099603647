//! Everything into a folder.

use crate::chart::{Chart, charts};
use crate::context::Context;
use crate::error::ReportError;
use crate::files;
use crate::findings::findings;
use crate::page::page;
use experiment::record::Record;
use std::path::{Path, PathBuf};

/// Where a report was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFiles {
    /// The page.
    pub page: PathBuf,
    /// The charts, `.svg` and `.png` of each, in the order of the page.
    pub charts: Vec<PathBuf>,
}

/// Writes `report.html`, `charts/*.svg` and `charts/*.png` into `dir`, each at once or not at all.
///
/// The same records and context give the same bytes. The page comes last, so that one that is there
/// belongs to the charts beside it. Takes about a second a chart, most of it for the bitmaps.
///
/// # Errors
///
/// [`ReportError::Folder`] and [`ReportError::Write`] where `dir` cannot be written to,
/// [`ReportError::Draw`] and [`ReportError::Page`] where drawing or filling in fails.
///
/// ```
/// let dir = tempfile::tempdir()?;
/// let context = report::Context { experiment: "demo".into(), ..report::Context::default() };
/// let files = report::write_report(dir.path(), &[], &context)?;
/// assert!(std::fs::read_to_string(files.page)?.contains("nothing was run"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_report(
    dir: &Path,
    records: &[Record],
    context: &Context,
) -> Result<ReportFiles, ReportError> {
    let charts = charts(records);
    let text = page(records, &findings(records), &charts, context)?;
    write_all(dir, &charts, &text)
}

/// The charts, then the page that belongs to them.
pub(crate) fn write_all(
    dir: &Path,
    charts: &[Chart],
    text: &str,
) -> Result<ReportFiles, ReportError> {
    let folder = dir.join("charts");
    files::folder(&folder)?;
    let mut written = Vec::new();
    for chart in charts {
        let svg = folder.join(format!("{}.svg", chart.name()));
        files::replace_text(&svg, &chart.svg()?)?;
        let png = folder.join(format!("{}.png", chart.name()));
        chart.write_png(&png)?;
        written.extend([svg, png]);
    }
    let page = dir.join("report.html");
    files::replace_text(&page, text)?;
    Ok(ReportFiles {
        page,
        charts: written,
    })
}
