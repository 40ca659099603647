//! Ways to hold events out, each as two cuts in every history.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::PrepareError;
use crate::data::Interactions;

/// How events are held out.
///
/// | split | test | validation | trained on whole |
/// |---|---|---|---|
/// | leave-one-out | a user's last event | the one before it | users of fewer than three events |
/// | leave-last-basket-out | all events at a user's last time | all at the time before it | users of fewer than three times |
/// | global time | all events from a time on | those from an earlier time on | users without later events |
///
/// Leave-one-out is what most published numbers use (Kang & McAuley, ICDM 2018, section IV-A). Where events share a time,
/// as in a shopping basket, it asks for one of them given the others: hold the basket out instead. Both let training see
/// events of other users that are later than a test event; only the global split does not (Ji et al., TOIS 41(3), 2023).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Holdout {
    /// The last event of each user tests, the one before it validates.
    LeaveOneOut,
    /// The events at each user's last time test, those at the time before it validate.
    LeaveLastBasketOut,
    /// Events are trained on up to one time, validate up to another, and test from there on.
    #[serde(rename_all = "kebab-case")]
    GlobalTime {
        /// First time that is not trained on.
        validation_from: i64,
        /// First time that tests; the same as `validation_from` leaves nothing to validate on.
        test_from: i64,
    },
}

/// Where, within one history, validation and test begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cuts {
    pub(super) validation: usize,
    pub(super) test: usize,
}

impl Holdout {
    /// A global split with about these shares of all events before validation and before the test.
    ///
    /// Events at one time stay together, so that the shares are met as nearly as times allow.
    ///
    /// # Errors
    /// [`PrepareError`] for shares that are not 0 < validation ≤ test < 1, and for a log without times or events.
    ///
    /// ```
    /// use recommender::{Holdout, ShopConfig, simulate_shop};
    ///
    /// let log = simulate_shop(&ShopConfig { users: 50, items: 80, clusters: 4, ..ShopConfig::default() })?.interactions;
    /// assert!(matches!(Holdout::global_time(&log, 0.8, 0.9)?, Holdout::GlobalTime { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn global_time(
        log: &Interactions,
        validation: f64,
        test: f64,
    ) -> Result<Self, PrepareError> {
        if !(0.0 < validation && validation <= test && test < 1.0) {
            return Err(PrepareError::Shares { validation, test });
        }
        let mut times: Vec<i64> = (0..log.users())
            .filter_map(|user| log.times(user))
            .flatten()
            .copied()
            .collect();
        if times.is_empty() {
            return Err(PrepareError::NoTimes {
                split: "a split by global time",
            });
        }
        times.sort_unstable();
        let at = |share: f64| times[(share * times.len() as f64) as usize];
        Ok(Self::GlobalTime {
            validation_from: at(validation),
            test_from: at(test),
        })
    }

    pub(super) fn cuts(self, log: &Interactions) -> Result<Vec<Cuts>, PrepareError> {
        let by_time = |split, cut: &dyn Fn(&[i64]) -> Cuts| {
            (0..log.users())
                .map(|user| {
                    log.times(user)
                        .map(cut)
                        .ok_or(PrepareError::NoTimes { split })
                })
                .collect()
        };
        match self {
            Self::LeaveOneOut => Ok(log
                .histories()
                .map(|history| last_events(history.len()))
                .collect()),
            Self::LeaveLastBasketOut => by_time("leave-last-basket-out", &last_baskets),
            Self::GlobalTime {
                validation_from,
                test_from,
            } => {
                if validation_from > test_from {
                    return Err(PrepareError::Order {
                        validation_from,
                        test_from,
                    });
                }
                by_time("a split by global time", &|times| Cuts {
                    validation: times.partition_point(|&time| time < validation_from),
                    test: times.partition_point(|&time| time < test_from),
                })
            }
        }
    }
}

impl fmt::Display for Holdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaveOneOut => f.write_str("leave-one-out"),
            Self::LeaveLastBasketOut => f.write_str("leave-last-basket-out"),
            Self::GlobalTime {
                validation_from,
                test_from,
            } => write!(
                f,
                "global time (validation from {validation_from}, test from {test_from})"
            ),
        }
    }
}

fn last_events(length: usize) -> Cuts {
    let held_out = usize::from(length >= 3);
    Cuts {
        validation: length - 2 * held_out,
        test: length - held_out,
    }
}

fn last_baskets(times: &[i64]) -> Cuts {
    let whole = Cuts {
        validation: times.len(),
        test: times.len(),
    };
    let start_of =
        |basket: Option<&i64>| basket.map_or(0, |&last| times.partition_point(|&time| time < last));
    let test = start_of(times.last());
    let validation = start_of(times[..test].last());
    if validation == 0 {
        whole
    } else {
        Cuts { validation, test }
    }
}
