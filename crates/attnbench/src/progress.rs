//! How far a run is: a bar on a terminal, plain lines elsewhere. Drawn on events alone, which come
//! between timed sections; nothing ticks in the background.

use crate::output;
use experiment::record::{Record, Status};
use experiment::{Event, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// A bar, if stderr is a terminal.
pub(crate) fn bar() -> Option<ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{bar:24} {percent:>3} %  {wide_msg}");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    })
}

/// Writes a line above the bar.
pub(crate) fn say(bar: Option<&ProgressBar>, text: &str) {
    match bar {
        Some(bar) => bar.suspend(|| output::note(text)),
        None => output::note(text),
    }
}

/// Steps of the bar within a group.
const STEPS: u64 = 1000;

/// Tells of a run on stderr.
#[derive(Debug)]
pub(crate) struct Teller {
    bar: Option<ProgressBar>,
    title: String,
    start: u64,
}

impl Teller {
    /// A bar if stderr is a terminal.
    pub(crate) fn new() -> Self {
        Self {
            bar: bar(),
            title: String::new(),
            start: 0,
        }
    }

    fn say(&self, text: &str) {
        say(self.bar.as_ref(), text);
    }

    fn draw(&self, fraction: f64, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.start + (fraction * STEPS as f64) as u64);
            bar.set_message(format!("{}: {what}", self.title));
        }
    }
}

impl Progress for Teller {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Started {
                dir,
                groups,
                finished,
            } => {
                let already = match finished {
                    0 => String::new(),
                    n => format!(", {n} of them measured by an earlier call"),
                };
                self.say(&format!(
                    "{groups} groups{already}; results in {}",
                    dir.display()
                ));
                if let Some(bar) = &self.bar {
                    bar.set_length(*groups as u64 * STEPS);
                }
            }
            Event::Group {
                index,
                of,
                title,
                left,
            } => {
                self.start = *index as u64 * STEPS;
                self.title = format!("{title}, {} left", duration(*left));
                if self.bar.is_none() {
                    self.say(&format!("[{}/{of}] {}", index + 1, self.title));
                }
                self.draw(0.0, "inputs");
            }
            Event::Gate { label } => self.draw(0.0, &format!("accuracy of {label}")),
            Event::Rounds { done, fraction } => self.draw(*fraction, &format!("round {done}")),
            Event::Cell { record } => {
                if let Some(trouble) = trouble(record) {
                    self.say(&trouble);
                }
            }
            Event::Finished { .. } => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
    }
}

fn trouble(record: &Record) -> Option<String> {
    let word = status(record.status)?;
    let reason = record.reason.as_deref().unwrap_or("no reason given");
    Some(format!("  {} {word}: {reason}", record.variant.label))
}

/// A status in words; `None` where all is well.
pub(crate) fn status(status: Status) -> Option<&'static str> {
    match status {
        Status::Ok => None,
        Status::Unsupported => Some("unsupported"),
        Status::Failed => Some("failed"),
        Status::Timeout => Some("timeout"),
        Status::OutOfMemory => Some("out of memory"),
    }
}

/// `about 40 s`, `about 3 min`: estimates deserve no more digits.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s < 1.0 => "under 1 s".into(),
        s if s < 100.0 => format!("about {s:.0} s"),
        s if s < 5400.0 => format!("about {:.0} min", s / 60.0),
        s => format!("about {:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_coarse() {
        let text = |seconds| duration(Duration::from_secs_f64(seconds));
        assert_eq!(text(0.2), "under 1 s");
        assert_eq!(text(41.7), "about 42 s");
        assert_eq!(text(200.0), "about 3 min");
        assert_eq!(text(9000.0), "about 2.5 h");
    }
}
