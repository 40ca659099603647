//! How studies are told of and presented.

use crate::failure::Failure;
use crate::output;
use crate::progress::{bar, duration, say};
use crate::table::Table;
use experiment::study::{Origin, Outcome, StudyEvent, StudyProgress, StudyResults};
use indicatif::ProgressBar;
use recommender::Metric;
use report::{study_sentences, write_study};

/// As many as asked for, or all.
pub(crate) fn threads(asked: usize) -> usize {
    match asked {
        0 => measure::machine::available_cpus(),
        asked => asked,
    }
}

/// Tells of a study on stderr: a bar on a terminal, lines elsewhere.
#[derive(Debug)]
pub(crate) struct Teller {
    bar: Option<ProgressBar>,
    metric: Metric,
    title: String,
}

impl Teller {
    /// By what models are compared.
    pub(crate) fn new(metric: Metric) -> Self {
        Self {
            bar: bar(),
            metric,
            title: String::new(),
        }
    }

    fn say(&self, text: &str) {
        say(self.bar.as_ref(), text);
    }
}

impl StudyProgress for Teller {
    fn event(&mut self, event: &StudyEvent<'_>) {
        match event {
            StudyEvent::Started {
                dir,
                log,
                trainings,
                finished,
            } => {
                self.say(log);
                let already = match finished {
                    0 => String::new(),
                    n => format!(", {n} of them finished by an earlier call"),
                };
                self.say(&format!(
                    "{trainings} trainings{already}; results in {}",
                    dir.display()
                ));
            }
            StudyEvent::Training {
                index,
                of,
                label,
                seed,
                parameters,
                done,
            } => {
                self.title = format!("[{}/{of}] {label}, seed {seed}", index + 1);
                let from = match done {
                    0 => String::new(),
                    n => format!(", going on after epoch {n}"),
                };
                self.say(&format!("{}: {parameters} parameters{from}", self.title));
            }
            StudyEvent::Epoch {
                row,
                of,
                best,
                left,
            } => {
                let metric = row.metric.map_or_else(String::new, |value| {
                    let best = best.map_or_else(String::new, |(best, epoch)| {
                        format!(" (best {best:.4} after {epoch})")
                    });
                    format!(", {} {value:.4}{best}", self.metric)
                });
                let text = format!(
                    "epoch {}/{of}: loss {:.4}, val_loss {:.4}{metric}; {:.1} s an epoch, {} left",
                    row.epoch,
                    row.loss,
                    row.val_loss,
                    row.seconds,
                    duration(*left)
                );
                match &self.bar {
                    Some(bar) => {
                        bar.set_length(*of as u64);
                        bar.set_position(row.epoch);
                        bar.set_message(format!("{}, {text}", self.title));
                    }
                    None => self.say(&format!("  {text}")),
                }
            }
            StudyEvent::Busy { label } => {
                self.say(&format!("{label}: another process is at it"));
            }
            StudyEvent::Evaluated { outcome } => {
                let value = outcome.estimate(self.metric).map_or_else(String::new, |e| {
                    format!(
                        "{} {:.4} ({:.4} to {:.4})",
                        self.metric, e.value, e.low, e.high
                    )
                });
                self.say(&format!("{}: test {value}", title(outcome)));
            }
            StudyEvent::Timing { what } => self.say(&format!("timing {what}")),
            StudyEvent::Finished { .. } => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
    }
}

/// A row's label, with how it came to be where that is not by training.
fn title(outcome: &Outcome) -> String {
    let made = &outcome.made;
    match made.origin {
        Origin::Floor => made.label(),
        Origin::Swapped => format!("{}, swapped in", made.label()),
        Origin::FineTuned => format!("{}, swapped in and fine-tuned", made.label()),
        _ => format!("{}, seed {}", made.label(), made.seed),
    }
}

/// The table of a study, what it shows, and where its page is.
pub(crate) fn present(results: &StudyResults) -> Result<(), Failure> {
    let metric = results.info.metric();
    let Some(first) = results.outcomes.first() else {
        return output::line("nothing is trained yet");
    };
    let metrics: Vec<Metric> = first
        .test
        .metrics
        .iter()
        .map(|(metric, _)| *metric)
        .collect();
    let mut headings = vec!["".to_owned()];
    headings.extend(metrics.iter().map(|metric| format!(">{metric}")));
    headings.extend([">epochs".into(), ">training".into()]);
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(&headings);
    for outcome in &results.outcomes {
        let mut cells = vec![title(outcome)];
        cells.extend(metrics.iter().map(|&metric| {
            let value = outcome.estimate(metric).map(|e| e.value);
            value.map_or_else(String::new, |value| format!("{value:.4}"))
        }));
        let made = &outcome.made;
        let seconds = format!("{:.0} s", made.training_seconds);
        let trained = made.origin != Origin::Floor && made.epochs > 0;
        cells.push(if trained {
            made.epochs.to_string()
        } else {
            String::new()
        });
        cells.push(if trained { seconds } else { String::new() });
        table.row(cells);
    }
    output::line(&first.test.protocol)?;
    output::line(table)?;
    output::line("")?;
    for sentence in study_sentences(results, metric) {
        output::line(sentence)?;
    }
    let files = write_study(results, metric)?;
    let page = files.page.canonicalize().unwrap_or(files.page);
    output::line(format_args!(
        "\nOpen this file in a browser: {}",
        page.display()
    ))
}
