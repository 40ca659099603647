//! The page of a study: what was trained, how it ranks, what it takes.

mod page;
mod sentences;

pub use sentences::study_sentences;

use crate::chart::ranking_charts;
use crate::error::ReportError;
use crate::write::{ReportFiles, write_all};
use experiment::study::StudyResults;
use recommender::Metric;

/// Writes `report.html`, `charts/*.svg` and `charts/*.png` into a study's folder, each at once or not at all.
///
/// # Errors
/// [`ReportError::Folder`] and [`ReportError::Write`] where the folder cannot be written to,
/// [`ReportError::Draw`] and [`ReportError::Page`] where drawing or filling in fails.
pub fn write_study(study: &StudyResults, metric: Metric) -> Result<ReportFiles, ReportError> {
    let charts = ranking_charts(study, metric);
    let text = page::page(study, metric, &charts)?;
    write_all(&study.dir, &charts, &text)
}
