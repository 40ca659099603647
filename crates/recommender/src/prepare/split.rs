//! Which events are trained on, which validate, which test.

use std::ops::Range;

use super::cases::{Case, Cases, Part, Targets};
use super::error::PrepareError;
use super::history::History;
use super::holdout::{Cuts, Holdout};
use super::leakage::Leakage;
use crate::data::Interactions;

/// A log cut in three: every user's history is a training part, a validation part and a test part, in time order.
///
/// Since histories are in time order, a split is two cuts a user and copies nothing.
///
/// ```
/// use recommender::{Holdout, Interactions, Part, Split, Targets};
///
/// let log = Interactions::from_histories(&[vec![0, 1, 2, 3], vec![2, 0]], 4);
/// let split = Split::new(&log, Holdout::LeaveOneOut)?;
/// assert_eq!(split.history(0, Part::Train).items, [0, 1]);
/// let test = split.cases(Part::Test, Targets::All);
/// assert_eq!(test.list.len(), 1); // two events are too few to hold any out
/// assert_eq!((test.list[0].history.items, test.list[0].targets), (&[0, 1, 2][..], &[3][..]));
/// # Ok::<(), recommender::PrepareError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Split<'a> {
    log: &'a Interactions,
    holdout: Holdout,
    cuts: Vec<Cuts>,
}

impl<'a> Split<'a> {
    /// Splits a log and checks that nothing leaks; O(events).
    ///
    /// # Errors
    /// [`PrepareError`] where the log has not what the split needs, or where it would leak.
    pub fn new(log: &'a Interactions, holdout: Holdout) -> Result<Self, PrepareError> {
        Self::checked(log, holdout, holdout.cuts(log)?)
    }

    pub(super) fn checked(
        log: &'a Interactions,
        holdout: Holdout,
        cuts: Vec<Cuts>,
    ) -> Result<Self, PrepareError> {
        let split = Self { log, holdout, cuts };
        let leakage = Leakage::of(&split);
        if leakage.is_sound(holdout) {
            return Ok(split);
        }
        Err(PrepareError::Leaks {
            split: holdout.to_string(),
            leakage,
        })
    }

    /// The log that is split.
    pub fn log(&self) -> &'a Interactions {
        self.log
    }

    /// How it is split.
    pub fn holdout(&self) -> Holdout {
        self.holdout
    }

    /// The events of one user in a part.
    ///
    /// # Panics
    /// When `user` is not below the log's [`users`](Interactions::users), as indexing does.
    pub fn history(&self, user: usize, part: Part) -> History<'a> {
        self.slice(user, self.range(user, part))
    }

    /// Every user's events in the training part, some of them none; nothing else may be learnt from.
    pub fn training(&self) -> impl ExactSizeIterator<Item = History<'a>> + Clone + '_ {
        (0..self.log.users()).map(|user| self.history(user, Part::Train))
    }

    /// What is asked about a part: users with events in it, what came before it, and what it holds.
    ///
    /// Users with nothing before the part are left out, since there is no history to rank from, and counted.
    pub fn cases(&self, part: Part, targets: Targets) -> Cases<'a> {
        let mut list = Vec::new();
        let mut without_history = 0;
        for user in 0..self.log.users() {
            let range = self.range(user, part);
            if range.is_empty() {
                continue;
            }
            let history = self.slice(user, 0..range.start);
            if history.is_empty() {
                without_history += 1;
                continue;
            }
            let held_out = self.slice(user, range).items;
            list.push(Case {
                user: user as u32,
                history,
                targets: match targets {
                    Targets::All => held_out,
                    Targets::First => &held_out[..1],
                },
            });
        }
        Cases {
            list,
            log: self.log,
            holdout: self.holdout,
            part,
            targets,
            without_history,
        }
    }

    fn range(&self, user: usize, part: Part) -> Range<usize> {
        let Cuts { validation, test } = self.cuts[user];
        match part {
            Part::Train => 0..validation,
            Part::Validation => validation..test,
            Part::Test => test..self.log.history(user).len(),
        }
    }

    fn slice(&self, user: usize, range: Range<usize>) -> History<'a> {
        History {
            items: &self.log.history(user)[range.clone()],
            times: self.log.times(user).map(|times| &times[range.clone()]),
            ratings: self.log.ratings(user).map(|ratings| &ratings[range]),
        }
    }
}
