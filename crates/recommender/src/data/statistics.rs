//! What a log looks like from outside: sizes, lengths, what padding would waste, how many events tie in time.

use std::fmt;

use super::interactions::Interactions;

/// Summary of an interaction log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogStatistics {
    /// Number of users.
    pub users: usize,
    /// Number of items in the catalogue.
    pub items: usize,
    /// Number of interactions.
    pub events: usize,
    /// Catalogue density: events / (users · items).
    pub density: f64,
    /// Mean history length.
    pub mean_length: f64,
    /// Median history length (the mean of the middle two when their number is even).
    pub median_length: f64,
    /// The length that nine tenths of the histories do not exceed (the nearest rank).
    pub p90_length: usize,
    /// Longest history.
    pub max_length: usize,
    /// Linear padding waste ρ₁ = 1 - Σn/(B·max n), all users as one batch B.
    pub rho1: f64,
    /// Quadratic padding waste ρ₂ = 1 - Σn²/(B·max n²), all users as one batch B.
    pub rho2: f64,
    /// Share of consecutive events of a user with the same time; `None` without times or without two events.
    pub tie_share: Option<f64>,
}

impl LogStatistics {
    pub(crate) fn of(log: &Interactions) -> Self {
        let mut lengths = log.lengths();
        lengths.sort_unstable();
        let (users, items, events) = (log.users(), log.items(), log.events());
        let max_length = lengths.last().copied().unwrap_or(0);
        let median_length = match users {
            0 => 0.0,
            _ => (lengths[(users - 1) / 2] + lengths[users / 2]) as f64 / 2.0,
        };
        let squares: f64 = lengths.iter().map(|&n| (n as f64) * (n as f64)).sum();
        let (batch, longest) = (users as f64, max_length as f64);
        Self {
            users,
            items,
            events,
            density: ratio(events as f64, batch * items as f64),
            mean_length: ratio(events as f64, batch),
            median_length,
            p90_length: match (9 * users).div_ceil(10) {
                0 => 0,
                rank => lengths[rank - 1],
            },
            max_length,
            rho1: if max_length == 0 {
                0.0
            } else {
                1.0 - events as f64 / (batch * longest)
            },
            rho2: if max_length == 0 {
                0.0
            } else {
                1.0 - squares / (batch * longest * longest)
            },
            tie_share: tie_share(log),
        }
    }
}

impl fmt::Display for LogStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} users, {} items, {} events (density {:.4} %); history length mean {:.1}, median {}, p90 {}, longest {}; padding to \
             the longest wastes {:.1} % (linear), {:.1} % (quadratic)",
            self.users,
            self.items,
            self.events,
            100.0 * self.density,
            self.mean_length,
            self.median_length,
            self.p90_length,
            self.max_length,
            100.0 * self.rho1,
            100.0 * self.rho2
        )?;
        match self.tie_share {
            Some(share) => write!(
                f,
                "; {:.1} % of consecutive events tie in time",
                100.0 * share
            ),
            None => write!(f, "; no times"),
        }
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

fn tie_share(log: &Interactions) -> Option<f64> {
    let (mut pairs, mut ties) = (0usize, 0usize);
    for user in 0..log.users() {
        for pair in log.times(user)?.windows(2) {
            pairs += 1;
            ties += usize::from(pair[0] == pair[1]);
        }
    }
    (pairs > 0).then(|| ties as f64 / pairs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::gather::Gather;
    use approx::assert_relative_eq;

    #[test]
    fn a_log_counted_by_hand() {
        let mut gather = Gather::new(true);
        for (user, item, time) in [
            ("u", "a", 1),
            ("u", "b", 1),
            ("u", "c", 2),
            ("u", "a", 2),
            ("v", "a", 7),
            ("v", "b", 9),
            ("w", "a", 3),
        ] {
            let user = gather.user(user.into()).unwrap();
            gather.event(user, item.into(), time).unwrap();
        }
        let log = gather.finish(String::new());
        let found = log.statistics();
        assert_eq!(
            (found.users, found.items, found.events, found.max_length),
            (3, 3, 7, 4)
        );
        assert_relative_eq!(found.density, 7.0 / 9.0);
        assert_relative_eq!(found.mean_length, 7.0 / 3.0);
        assert_relative_eq!(found.median_length, 2.0);
        assert_relative_eq!(found.rho1, 1.0 - 7.0 / 12.0, max_relative = 1e-12);
        assert_relative_eq!(found.rho2, 1.0 - 21.0 / 48.0, max_relative = 1e-12);
        assert_eq!(found.tie_share, Some(0.5));
        assert_eq!(
            found.to_string(),
            "3 users, 3 items, 7 events (density 77.7778 %); history length mean 2.3, median 2, p90 4, longest 4; padding to the \
             longest wastes 41.7 % (linear), 56.2 % (quadratic); 50.0 % of consecutive events tie in time"
        );
    }

    #[test]
    fn no_users_and_no_times_are_answered() {
        let nothing = Interactions::from_histories(&[], 0).statistics();
        assert_eq!(
            (
                nothing.mean_length,
                nothing.median_length,
                nothing.rho1,
                nothing.density
            ),
            (0.0, 0.0, 0.0, 0.0)
        );
        let even = Interactions::from_histories(&[vec![0], vec![0, 0]], 1).statistics();
        assert_eq!((even.median_length, even.tie_share), (1.5, None));
        let histories: Vec<Vec<u32>> = (1..=20).map(|length| vec![0; length]).collect();
        let twenty = Interactions::from_histories(&histories, 1).statistics();
        assert_eq!((twenty.p90_length, twenty.max_length), (18, 20));
    }
}
