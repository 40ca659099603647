//! How studies are told of and presented.

use crate::failure::Failure;
use crate::output;
use crate::progress::{bar, duration, say};
use crate::table::Table;
use experiment::study::{Origin, Outcome, StudyEvent, StudyProgress, StudyResults};
use indicatif::ProgressBar;
use recommender::Metric;
use report::{study_sentences, write_study};
use std::time::Duration;

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
    /// What the last epoch came to.
    last: String,
}

impl Teller {
    /// By what models are compared.
    pub(crate) fn new(metric: Metric) -> Self {
        Self {
            bar: bar(),
            metric,
            title: String::new(),
            last: String::new(),
        }
    }

    fn say(&self, text: &str) {
        say(self.bar.as_ref(), text);
    }

    /// Writes beside the bar. What changes comes first: a narrow terminal cuts the rest.
    fn show(&self, at: &str, left: Duration) {
        if let Some(bar) = &self.bar {
            let left = duration(left);
            bar.set_message(format!("{at}, {left} left; {}{}", self.title, self.last));
        }
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
                self.last.clear();
                let from = match done {
                    0 => String::new(),
                    n => format!(", going on after epoch {n}"),
                };
                self.say(&format!("{}: {parameters} parameters{from}", self.title));
            }
            StudyEvent::FineTuning { label } => {
                self.title = format!("{label}, swapped in and fine-tuned");
                self.last.clear();
            }
            StudyEvent::Step {
                epoch,
                epochs,
                step,
                steps,
                left,
            } => {
                if let Some(bar) = &self.bar {
                    bar.set_length(epochs * steps);
                    bar.set_position((epoch - 1) * steps + step);
                    let at = format!("epoch {epoch}/{epochs}, step {step}/{steps}");
                    self.show(&at, *left);
                }
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
                let losses = format!("loss {:.4}, val_loss {:.4}{metric}", row.loss, row.val_loss);
                self.last = format!("; after {}: {losses}", row.epoch);
                let at = format!("epoch {}/{of}", row.epoch);
                if self.bar.is_some() {
                    self.show(&at, *left);
                } else {
                    let (seconds, left) = (row.seconds, duration(*left));
                    self.say(&format!(
                        "  {at}: {losses}; {seconds:.1} s an epoch, {left} left"
                    ));
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

#[cfg(test)]
mod tests {
    use super::*;
    use experiment::study::EpochRow;

    #[test]
    fn a_bar_moves_with_steps_and_keeps_what_the_last_epoch_came_to() {
        let bar = ProgressBar::hidden();
        let mut teller = Teller {
            bar: Some(bar.clone()),
            ..Teller::new(Metric::Ndcg(10))
        };
        let step = |epoch, step| StudyEvent::Step {
            epoch,
            epochs: 3,
            step,
            steps: 40,
            left: Duration::from_secs(200),
        };
        teller.event(&StudyEvent::Training {
            index: 1,
            of: 4,
            label: "sasrec, blocked",
            seed: 0,
            parameters: 1000,
            done: 1,
        });
        teller.event(&step(2, 10));
        assert_eq!((bar.position(), bar.length()), (50, Some(120)));
        let text = "epoch 2/3, step 10/40, about 3 min left; [2/4] sasrec, blocked, seed 0";
        assert_eq!(bar.message(), text);
        teller.event(&StudyEvent::Epoch {
            row: &EpochRow {
                epoch: 2,
                loss: 4.5,
                val_loss: 4.25,
                metric: None,
                gradient_norm: None,
                seconds: 1.0,
            },
            of: 3,
            best: None,
            left: Duration::ZERO,
        });
        teller.event(&step(3, 1));
        assert_eq!(bar.position(), 81);
        assert!(
            bar.message()
                .ends_with("seed 0; after 2: loss 4.5000, val_loss 4.2500")
        );
        teller.event(&StudyEvent::FineTuning {
            label: "sasrec, favor-8",
        });
        teller.event(&step(1, 1));
        assert!(
            bar.message()
                .ends_with("sasrec, favor-8, swapped in and fine-tuned")
        );
    }
}
