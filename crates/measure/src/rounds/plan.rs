use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Something to be timed: a name and the call.
///
/// The call should pass its result through [`std::hint::black_box`], or write it to memory that outlives
/// the call; otherwise the compiler may drop the work.
pub struct Contestant<'a> {
    /// Name, carried over to [`Samples`].
    pub name: String,
    pub(super) turn: Turn<'a>,
}

/// How a contestant takes its turn.
pub(super) enum Turn<'a> {
    /// It is called, and the call is timed here.
    Timed(Box<dyn FnMut() + 'a>),
    /// It times itself.
    SelfTimed(Box<dyn FnMut() -> Duration + 'a>),
}

impl<'a> Contestant<'a> {
    /// Names a call.
    pub fn new(name: impl Into<String>, call: impl FnMut() + 'a) -> Self {
        Self {
            name: name.into(),
            turn: Turn::Timed(Box::new(call)),
        }
    }

    /// Names something that answers how long one call took: where the clock is elsewhere, as in
    /// another process, or where a turn holds more than what counts. Its samples are never batched.
    pub fn self_timed(name: impl Into<String>, turn: impl FnMut() -> Duration + 'a) -> Self {
        Self {
            name: name.into(),
            turn: Turn::SelfTimed(Box::new(turn)),
        }
    }
}

impl std::fmt::Debug for Contestant<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contestant")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// When to stop, and how the order is shuffled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundPlan {
    /// Untimed calls of each contestant before the first round; fewer when they would eat the budget.
    /// With 0 nothing is known of the call before the first round, and samples are never batched.
    pub warmup: usize,
    /// Rounds before the intervals are looked at. At least 6 count: below, no interval is a 95 % one.
    pub min_rounds: usize,
    /// Rounds at most; taken as at least 1, and stronger than `min_rounds`.
    pub max_rounds: usize,
    /// Target: half-width of the 95 % interval of the median, relative to the median (0.02 is ±2 %). With 0,
    /// the rounds go on to the budget or the maximum.
    pub relative_interval: f64,
    /// Wall-clock time for all contestants together, warm-up included. Soft: a round is always
    /// finished, and `min_rounds` are run unless one contestant's share of them alone exceeds it.
    pub budget: Duration,
    /// Decides the order of every round and the resamples of the intervals.
    pub seed: u64,
}

impl Default for RoundPlan {
    /// 3 warm-up calls, 10 to 200 rounds, ±2 %, 10 seconds, seed 0.
    fn default() -> Self {
        Self {
            warmup: 3,
            min_rounds: 10,
            max_rounds: 200,
            relative_interval: 0.02,
            budget: Duration::from_secs(10),
            seed: 0,
        }
    }
}

/// Why a contestant has no more samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// Its interval is within the target.
    Converged,
    /// The time was spent after `min_rounds`, with its interval still wider than the target.
    Budget,
    /// The time was spent before `min_rounds`, because some contestant alone would have exceeded it.
    BudgetBeforeMinimum,
    /// `max_rounds` were run, with its interval still wider than the target.
    MaxRounds,
}

/// One contestant's times, in the order of the rounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// The contestant's name.
    pub name: String,
    /// Nanoseconds per call, one sample a round; index r is round r for every contestant.
    pub nanoseconds: Vec<u64>,
    /// Calls that each sample is the mean of; 1 unless the call is too short for the clock.
    pub calls_per_sample: u32,
    /// Why the rounds ended, from this contestant's view.
    pub stop: Stop,
    /// Nanoseconds of each warm-up call; the first one is the cold call.
    pub warmup_ns: Vec<u64>,
}

impl Samples {
    /// The samples as floating-point nanoseconds, for [`stats`](crate::stats).
    pub fn as_f64(&self) -> Vec<f64> {
        self.nanoseconds.iter().map(|&ns| ns as f64).collect()
    }
}

/// What the rounds are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The contestant of this index has been warmed up.
    WarmUp {
        /// Index among the contestants.
        contestant: usize,
    },
    /// This many rounds are finished.
    Rounds {
        /// Rounds finished.
        done: usize,
    },
}

/// A report between two timed sections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundProgress {
    /// What has just been finished.
    pub phase: Phase,
    /// Time since the start.
    pub elapsed: Duration,
    /// Share of the work that is surely done, 0..=1: the budget's or the rounds', whichever is further.
    pub fraction: f64,
    /// The widest relative half-width among the contestants, at the last look.
    pub widest_interval: Option<f64>,
}
