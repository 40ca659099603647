//! What a run tells while it goes: only between timed sections.

use crate::record::Record;
use std::path::Path;
use std::time::Duration;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The folder is open.
    Started {
        /// Where results go.
        dir: &'a Path,
        /// Groups of the plan.
        groups: usize,
        /// Those that earlier calls finished.
        finished: usize,
    },
    /// A group begins.
    Group {
        /// Its place in the plan, from 0.
        index: usize,
        /// Groups of the plan.
        of: usize,
        /// What its cells share, for people.
        title: &'a str,
        /// Estimate of the time left, this group included.
        left: Duration,
    },
    /// A cell's accuracy is being measured.
    Gate {
        /// The variant's label.
        label: &'a str,
    },
    /// The group is being timed.
    Rounds {
        /// Rounds finished.
        done: usize,
        /// Share of the work that is surely done.
        fraction: f64,
    },
    /// A cell is finished.
    Cell {
        /// Its row.
        record: &'a Record,
    },
    /// All rows are on disk.
    Finished {
        /// Where results are.
        dir: &'a Path,
    },
}

/// Someone who is told; `()` is not interested.
pub trait Progress {
    /// Called for every event, in order.
    fn event(&mut self, event: &Event<'_>);
}

impl Progress for () {
    fn event(&mut self, _: &Event<'_>) {}
}

impl<F: FnMut(&Event<'_>)> Progress for F {
    fn event(&mut self, event: &Event<'_>) {
        self(event);
    }
}
