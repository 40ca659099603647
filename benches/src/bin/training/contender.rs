//! Whoever takes part in a cell.

use crate::Failure;
use crate::ours::Ours;
use crate::theirs::Theirs;

/// A contender whose cell is loaded.
pub(crate) enum Contender<'c> {
    Ours(Box<Ours<'c>>),
    Theirs(Theirs),
}

/// What a turn came to.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Turn {
    pub(crate) seconds: Vec<f64>,
    pub(crate) losses: Vec<f64>,
}

impl Contender<'_> {
    /// Goes on to the next batch, and does it `warm` times untimed, then `calls` times.
    pub(crate) fn run(&mut self, calls: usize, warm: usize) -> Result<Turn, Failure> {
        match self {
            Self::Ours(ours) => ours.run(calls, warm),
            Self::Theirs(theirs) => theirs.run(calls, warm),
        }
    }

    /// Logits of all items behind each history, end to end.
    pub(crate) fn logits(&mut self, histories: &[Vec<u32>]) -> Result<Vec<f32>, Failure> {
        match self {
            Self::Ours(ours) => ours.logits(histories),
            Self::Theirs(theirs) => theirs.logits(histories),
        }
    }

    /// Bytes that the model, its optimiser and a step take together, at most.
    pub(crate) fn memory(&mut self) -> Result<f64, Failure> {
        match self {
            Self::Ours(ours) => ours.memory(),
            Self::Theirs(theirs) => theirs.memory(),
        }
    }

    /// The ranks that the last evaluation gave.
    pub(crate) fn ranks(&mut self) -> Result<Vec<u32>, Failure> {
        match self {
            Self::Ours(ours) => Ok(ours.ranks.clone()),
            Self::Theirs(theirs) => theirs.ranks(),
        }
    }
}
