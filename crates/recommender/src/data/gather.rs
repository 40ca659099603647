//! From events in file order to one history per user.

use std::borrow::Cow;
use std::collections::HashMap;

use super::interactions::Interactions;
use super::names::Names;

/// Numbers tokens by first appearance, up to a limit.
struct Interner<'a> {
    index: HashMap<Cow<'a, str>, u32>,
    names: Names,
    limit: u32,
}

impl<'a> Interner<'a> {
    fn new(limit: u32) -> Self {
        Self {
            index: HashMap::new(),
            names: Names::default(),
            limit,
        }
    }

    fn number(&mut self, token: Cow<'a, str>) -> Option<u32> {
        if let Some(&number) = self.index.get(token.as_ref()) {
            return Some(number);
        }
        let number = u32::try_from(self.names.len())
            .ok()
            .filter(|&next| next < self.limit)?;
        self.names.push(&token);
        self.index.insert(token, number);
        Some(number)
    }
}

/// More distinct users or items than can be numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) what: &'static str,
    pub(crate) limit: u32,
}

/// Collects events in file order, then orders each user's by time.
pub(crate) struct Gather<'a> {
    users: Interner<'a>,
    items: Interner<'a>,
    user_of: Vec<u32>,
    item_of: Vec<u32>,
    time_of: Vec<i64>,
    rating_of: Vec<f32>,
    timed: bool,
    times_known: bool,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(timed: bool) -> Self {
        Self::with_limit(timed, u32::MAX)
    }

    /// Times order the events and are not kept: they say what came before what, not when.
    pub(crate) fn ordered() -> Self {
        Self {
            times_known: false,
            ..Self::new(true)
        }
    }

    pub(crate) fn with_limit(timed: bool, limit: u32) -> Self {
        Self {
            users: Interner::new(limit),
            items: Interner::new(limit),
            user_of: Vec::new(),
            item_of: Vec::new(),
            time_of: Vec::new(),
            rating_of: Vec::new(),
            timed,
            times_known: timed,
        }
    }

    pub(crate) fn user(&mut self, token: Cow<'a, str>) -> Result<u32, Full> {
        self.users.number(token).ok_or(Full {
            what: "users",
            limit: self.users.limit,
        })
    }

    /// `time` is kept only by a gathering that is timed.
    pub(crate) fn event(&mut self, user: u32, item: Cow<'a, str>, time: i64) -> Result<(), Full> {
        let item = self.items.number(item).ok_or(Full {
            what: "items",
            limit: self.items.limit,
        })?;
        self.user_of.push(user);
        self.item_of.push(item);
        if self.timed {
            self.time_of.push(time);
        }
        Ok(())
    }

    /// The rating of the event added last; ratings are kept where every event has one.
    pub(crate) fn rate(&mut self, rating: f32) {
        self.rating_of.push(rating);
    }

    pub(crate) fn events(&self) -> usize {
        self.item_of.len()
    }

    /// Counting sort by user, then a stable sort by time within each history that is not yet in order: O(E log max n).
    pub(crate) fn finish(self, checksum: String) -> Interactions {
        let mut offsets = vec![0usize; self.users.names.len() + 1];
        for &user in &self.user_of {
            offsets[user as usize + 1] += 1;
        }
        for user in 1..offsets.len() {
            offsets[user] += offsets[user - 1];
        }
        let mut next = offsets.clone();
        let mut order = vec![0usize; self.item_of.len()];
        for (event, &user) in self.user_of.iter().enumerate() {
            let slot = &mut next[user as usize];
            order[*slot] = event;
            *slot += 1;
        }
        if self.timed {
            for bounds in offsets.windows(2) {
                let history = &mut order[bounds[0]..bounds[1]];
                if !history.is_sorted_by_key(|&event| self.time_of[event]) {
                    history.sort_by_key(|&event| self.time_of[event]);
                }
            }
        }
        let rated = !order.is_empty() && self.rating_of.len() == order.len();
        Interactions::from_parts(
            offsets,
            order.iter().map(|&event| self.item_of[event]).collect(),
            self.times_known
                .then(|| order.iter().map(|&event| self.time_of[event]).collect()),
            self.users.names,
            self.items.names,
            checksum,
        )
        .with_ratings(rated.then(|| order.iter().map(|&event| self.rating_of[event]).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_items_than_the_limit_are_refused_and_known_ones_still_accepted() {
        let mut gather = Gather::with_limit(false, 2);
        let user = gather.user("u".into()).unwrap();
        gather.event(user, "a".into(), 0).unwrap();
        gather.event(user, "b".into(), 0).unwrap();
        gather.event(user, "a".into(), 0).unwrap();
        assert_eq!(
            gather.event(user, "c".into(), 0),
            Err(Full {
                what: "items",
                limit: 2
            })
        );
        gather.user("v".into()).unwrap();
        assert_eq!(
            gather.user("w".into()),
            Err(Full {
                what: "users",
                limit: 2
            })
        );
        assert_eq!(gather.finish(String::new()).history(0), [0, 1, 0]);
    }

    #[test]
    fn scattered_users_are_gathered_and_ties_keep_file_order() {
        let mut gather = Gather::new(true);
        for (rating, (user, item, time)) in (0u8..).zip([
            ("u", "c", 5),
            ("v", "a", 9),
            ("u", "a", 3),
            ("u", "b", 5),
            ("v", "b", -1),
            ("u", "d", 3),
        ]) {
            let user = gather.user(user.into()).unwrap();
            gather.event(user, item.into(), time).unwrap();
            gather.rate(f32::from(rating));
        }
        let log = gather.finish(String::new());
        let named = |user: usize| {
            log.history(user)
                .iter()
                .map(|&i| log.item_name(i))
                .collect::<String>()
        };
        assert_eq!((named(0).as_str(), named(1).as_str()), ("adcb", "ba"));
        assert_eq!(log.times(0), Some(&[3, 3, 5, 5][..]));
        assert_eq!(log.ratings(0), Some(&[2.0, 5.0, 0.0, 3.0][..]));
    }
}
