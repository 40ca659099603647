//! `evaluate`: a trained model once more, with its own attention or another.

use crate::failure::Failure;
use crate::output;
use crate::study;
use crate::table::Table;
use crate::variant::{self, VariantArg};
use clap::Args;
use experiment::study::{Ranked, TrainedRun};
use recommender::evaluate::{Bootstrap, paired_test};
use recommender::model::AttentionConfig;
use std::path::PathBuf;

/// Rank the test part with a trained model, or with another attention in it
///
/// Full ranking by the protocol of the study. With --variant the model's attention is replaced without training
/// on: what is lost is what the approximation does to a model that did not know of it. The difference is tested
/// over the same users.
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// The folder of a training, below trainings/ of a study
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Attentions to put in the place of the model's own: NAME or NAME:key=value; repeat for several
    #[arg(long = "variant", value_name = "VARIANT", value_parser = variant::parse)]
    variants: Vec<VariantArg>,
    /// Threads [default: all]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

impl Evaluate {
    pub(crate) fn run(self) -> Result<(), Failure> {
        for arg in &self.variants {
            arg.configure()?.build()?;
        }
        let threads = study::threads(self.threads);
        let run = TrainedRun::open(&self.run, threads)?;
        let own = run.evaluate(None)?;
        output::line(&own.outcome.test.protocol)?;
        let metric = run.info.evaluation.metric;
        let mut headings = vec!["attention".to_owned()];
        let metrics = own.outcome.test.metrics.iter();
        headings.extend(metrics.map(|(metric, _)| format!(">{metric}")));
        headings.extend([format!(">change in {metric}"), ">p".into()]);
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let mut table = Table::new(&headings);
        table.row(row(&own, None));
        let pool = measure::pool(threads).map_err(experiment::study::StudyError::from)?;
        for arg in &self.variants {
            let settings = arg.settings.iter().cloned().collect();
            let attention = AttentionConfig {
                variant: arg.name.clone(),
                parameters: settings,
            };
            let other = run.evaluate(Some(&attention))?;
            for name in &other.outcome.made.anew {
                output::note(format_args!(
                    "{}: `{name}` is not learned by the trained model and stays as it began",
                    attention.variant
                ));
            }
            let (now, before) = (&other.evaluation, &own.evaluation);
            let test = paired_test(now, before, metric, Bootstrap::default(), &pool);
            let test = test.map_err(experiment::study::StudyError::from)?;
            let change = test.difference;
            let words = format!(
                "{:+.4} ({:+.4} to {:+.4})",
                change.value, change.low, change.high
            );
            table.row(row(&other, Some((words, format!("{:.3}", test.p)))));
        }
        output::line(table)
    }
}

fn row(ranked: &Ranked, change: Option<(String, String)>) -> Vec<String> {
    let outcome = &ranked.outcome;
    let name = outcome.made.variant.clone();
    let mut cells = vec![name.unwrap_or_else(|| "none".into())];
    let metrics = outcome.test.metrics.iter();
    cells.extend(metrics.map(|(_, e)| format!("{:.4}", e.value)));
    let (change, p) = change.unwrap_or_default();
    cells.extend([change, p]);
    cells
}
