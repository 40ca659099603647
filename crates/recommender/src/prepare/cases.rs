//! Questions for a ranker: a history, and what came after it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::history::History;
use super::holdout::Holdout;
use crate::data::Interactions;

/// A part of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// What is learnt from.
    Train,
    /// What settings and the epoch to stop at are chosen on.
    Validation,
    /// What is reported.
    Test,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// Which of the held-out events are to be found; leave-one-out holds out one, so that both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// All of them, as a set.
    All,
    /// The first after the history.
    First,
}

/// One user's question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case<'a> {
    /// Index of the user.
    pub user: u32,
    /// All that came before the part, not truncated.
    pub history: History<'a>,
    /// Held-out items, at least one, in time order; an item may be in it more than once.
    pub targets: &'a [u32],
}

/// The questions of one part of a split, with what a reader must know about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Cases<'a> {
    /// One a user, by user index.
    pub list: Vec<Case<'a>>,
    /// The log that is split.
    pub log: &'a Interactions,
    /// How events were held out.
    pub holdout: Holdout,
    /// The part.
    pub part: Part,
    /// Which events of the part are targets.
    pub targets: Targets,
    /// Users with events in the part and none before it, left out.
    pub without_history: usize,
}
