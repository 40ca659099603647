//! Records to findings, charts and an offline page; runs nothing.
//!
//! * [`findings`] weighs the variants of each setting and says what to use; [`headline`] is its short form;
//! * [`charts`] draws what the records have something to say on, as SVG and PNG;
//! * [`comparison()`] draws ratios of times cell by cell, for comparisons with other libraries;
//! * [`write_report`] puts both on one page that opens offline, and everything into a folder.
//!
//! All of it is derived from the records alone, and the same records give the same bytes.

#![forbid(unsafe_code)]

mod chart;
mod context;
mod error;
mod files;
mod findings;
mod fit;
mod frontier;
mod numbers;
mod order;
mod page;
mod settings;
mod speedup;
mod study;
mod write;

pub use chart::{
    Chart, ComparedCell, Comparison, Ratio, Section, charts, comparison, ranking_charts,
};
pub use context::Context;
pub use error::ReportError;
pub use findings::{
    Advice, Answer, Choice, Findings, Level, SettingFinding, Trouble, findings, headline,
};
pub use study::{study_sentences, write_study};
pub use write::{ReportFiles, write_report};
