//! What a number stands for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::config::Candidates;
use crate::prepare::{Cases, Holdout, Part, Targets};

/// All that a reader must know to compare a metric with another: numbers of different protocols are not comparable.
///
/// Ties are always resolved by item index, which is the order of first appearance in the log: of two items with the same
/// score, the one that appears first is ranked higher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// Checksum of the log.
    pub log: String,
    /// How events were held out.
    pub holdout: Holdout,
    /// The part that was asked about.
    pub part: Part,
    /// Which of its events are to be found.
    pub targets: Targets,
    /// What they are ranked among.
    pub candidates: Candidates,
    /// Items in the catalogue.
    pub items: usize,
    /// Users asked about.
    pub users: usize,
    /// Shortest and longest history of the users asked about; `None`: any.
    pub lengths: Option<(usize, usize)>,
    /// Users left out since they have no history before the part.
    pub without_history: usize,
}

impl Protocol {
    pub(super) fn of(cases: &Cases<'_>, candidates: Candidates) -> Self {
        Self {
            log: cases.log.checksum().to_string(),
            holdout: cases.holdout,
            part: cases.part,
            targets: cases.targets,
            candidates,
            items: cases.log.items(),
            users: cases.list.len(),
            lengths: None,
            without_history: cases.without_history,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} part of {}, {} of {} users among {} items, {}, ties by first appearance",
            self.part,
            self.holdout,
            match self.targets {
                Targets::All => "held-out events",
                Targets::First => "first held-out event",
            },
            self.users,
            self.items,
            self.candidates,
        )?;
        match self.lengths {
            None => {}
            Some((start, usize::MAX)) => write!(f, "; histories of at least {start} events")?,
            Some((start, end)) => write!(f, "; histories of {start} to {end} events")?,
        }
        match self.without_history {
            0 => Ok(()),
            users => write!(f, "; {users} users without a history left out"),
        }
    }
}
