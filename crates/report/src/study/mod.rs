//! The page of a study: what was trained, how it ranks, what it takes.

mod page;
mod sentences;

pub use sentences::study_sentences;

use crate::chart::ranking_charts;
use crate::error::ReportError;
use crate::files;
use crate::write::ReportFiles;
use experiment::study::StudyResults;
use recommender::Metric;

/// Writes `report.html`, `charts/*.svg` and `charts/*.png` into a study's folder, each at once or not at all.
///
/// # Errors
/// [`ReportError::Folder`] and [`ReportError::Write`] where the folder cannot be written to,
/// [`ReportError::Draw`] and [`ReportError::Page`] where drawing or filling in fails.
pub fn write_study(study: &StudyResults, metric: Metric) -> Result<ReportFiles, ReportError> {
    let charts = ranking_charts(study, metric);
    let folder = study.dir.join("charts");
    let mut written = Vec::new();
    if !charts.is_empty() {
        files::folder(&folder)?;
    }
    for chart in &charts {
        let svg = folder.join(format!("{}.svg", chart.name()));
        files::replace_text(&svg, &chart.svg()?)?;
        let png = folder.join(format!("{}.png", chart.name()));
        chart.write_png(&png)?;
        written.extend([svg, png]);
    }
    let page = study.dir.join("report.html");
    files::replace_text(&page, &page::page(study, metric, &charts)?)?;
    Ok(ReportFiles {
        page,
        charts: written,
    })
}
