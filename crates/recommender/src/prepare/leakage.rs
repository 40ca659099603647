//! Whether anything that is held out can be seen in what comes before it.

use std::fmt;

use super::holdout::Holdout;
use super::split::Split;
use super::{History, Part};

/// Held-out events, and in how many ways they show in the part before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leakage {
    /// Events in the validation or test part.
    pub held_out: usize,
    /// Events that stand before a part and are later than the first event of it, of the same user.
    pub later: usize,
    /// Events on the wrong side of a cut of the global split.
    pub across_cut: usize,
    /// Held-out events at the time of the last event before their part: one basket on both sides.
    pub same_time: usize,
    /// Held-out events whose item the user has, at the same time, before the part too: one record twice in the log.
    pub duplicated: usize,
}

impl Leakage {
    /// Counts what leaks in a split; O(events). Without times only the numbers of events are known.
    pub fn of(split: &Split<'_>) -> Self {
        let mut found = Self::default();
        for user in 0..split.log().users() {
            let (train, validation, test) = (
                split.history(user, Part::Train),
                split.history(user, Part::Validation),
                split.history(user, Part::Test),
            );
            found.held_out += validation.len() + test.len();
            // What comes before the test is training and validation.
            found.between(&[train], validation);
            found.between(&[train, validation], test);
            if let Holdout::GlobalTime {
                validation_from,
                test_from,
            } = split.holdout()
            {
                let early = |part: History<'_>, from| count(part, |time| time < from);
                let late = |part: History<'_>, from| count(part, |time| time >= from);
                found.across_cut += late(train, validation_from)
                    + early(validation, validation_from)
                    + late(validation, test_from)
                    + early(test, test_from);
            }
        }
        found
    }

    /// Whether the split keeps what it promises: order always, and with baskets and global cuts no shared time either.
    pub fn is_sound(&self, holdout: Holdout) -> bool {
        let shares_time = self.same_time + self.duplicated > 0;
        self.later == 0 && self.across_cut == 0 && (holdout == Holdout::LeaveOneOut || !shares_time)
    }

    fn between(&mut self, before: &[History<'_>], part: History<'_>) {
        let Some(&first) = part.times.and_then(|times| times.first()) else {
            return;
        };
        let earlier = || before.iter().flat_map(|history| events(*history));
        self.later += earlier().filter(|&(_, time)| time > first).count();
        let Some(last) = earlier().map(|(_, time)| time).max() else {
            return;
        };
        for (item, time) in events(part) {
            self.same_time += usize::from(time == last);
            // Only an event at a shared time can be the same record: few are looked for.
            self.duplicated +=
                usize::from(time <= last && earlier().any(|event| event == (item, time)));
        }
    }
}

impl fmt::Display for Leakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "of {} held-out events, {} share the time of the last event before their part and {} repeat a record before it; \
             {} earlier events are later than what is held out, {} are across a cut",
            self.held_out, self.same_time, self.duplicated, self.later, self.across_cut
        )
    }
}

fn events<'a>(history: History<'a>) -> impl Iterator<Item = (u32, i64)> + 'a {
    let times = history.times.unwrap_or_default();
    history.items.iter().copied().zip(times.iter().copied())
}

fn count(history: History<'_>, holds: impl Fn(i64) -> bool) -> usize {
    events(history).filter(|&(_, time)| holds(time)).count()
}

#[cfg(test)]
mod tests {
    use super::super::PrepareError;
    use super::super::holdout::Cuts;
    use super::*;
    use crate::data::Interactions;
    use crate::data::gather::Gather;

    fn log(times: &[i64]) -> Interactions {
        let mut gather = Gather::new(true);
        let user = gather.user("u".into()).unwrap();
        for (item, &time) in times.iter().enumerate() {
            gather.event(user, item.to_string().into(), time).unwrap();
        }
        gather.finish(String::new())
    }

    fn leaks(log: &Interactions, holdout: Holdout, validation: usize, test: usize) -> Leakage {
        match Split::checked(log, holdout, vec![Cuts { validation, test }]) {
            Err(PrepareError::Leaks { leakage, .. }) => leakage,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cut_through_a_basket_is_found() {
        let found = leaks(&log(&[1, 2, 2, 3]), Holdout::LeaveLastBasketOut, 2, 3);
        assert_eq!((found.same_time, found.later), (1, 0));
    }

    #[test]
    fn a_cut_off_the_global_time_is_found_on_either_side() {
        let log = log(&[1, 2, 3, 4, 5]);
        let global = Holdout::GlobalTime {
            validation_from: 3,
            test_from: 5,
        };
        assert_eq!(leaks(&log, global, 3, 4).across_cut, 1);
        assert_eq!(leaks(&log, global, 1, 4).across_cut, 1);
        assert_eq!(leaks(&log, global, 2, 5).across_cut, 1);
        assert_eq!(leaks(&log, global, 2, 3).across_cut, 1);
        assert!(Split::new(&log, global).is_ok());
    }

    #[test]
    fn a_log_out_of_order_is_found() {
        let names = || ["0", "1", "2", "3"].into_iter().collect();
        let user = ["u"].into_iter().collect();
        let times = Some(vec![1, 9, 3, 4]);
        let log = Interactions::from_parts(
            vec![0, 4],
            vec![0, 1, 2, 3],
            times,
            user,
            names(),
            String::new(),
        );
        assert_eq!(leaks(&log, Holdout::LeaveOneOut, 2, 3).later, 2);
    }
}
