//! The dense core of a log.

use crate::data::Interactions;

/// The largest part of a log in which every user and every item has at least so many events.
///
/// Users and items below their minimum are dropped in turn until none is left to drop; what remains does not depend on the
/// order. Users and items keep their names, order, and so the order in which ties are resolved. Minima of 0 drop nobody,
/// not even an item without events.
///
/// Cost: O(events) a round; few rounds in practice, users + items at most.
///
/// ```
/// use recommender::{Interactions, prepare::k_core};
///
/// // Item 2 has one event; without it the second user has one event left.
/// let log = Interactions::from_histories(&[vec![0, 1, 0], vec![2, 0], vec![1, 0]], 3);
/// let core = k_core(&log, 2, 2);
/// assert_eq!((core.users(), core.items(), core.events()), (2, 2, 5));
/// assert_eq!((core.user_name(1), core.history(1)), ("2", &[1, 0][..]));
/// ```
pub fn k_core(log: &Interactions, user_minimum: usize, item_minimum: usize) -> Interactions {
    let mut kept_users = vec![true; log.users()];
    let mut kept_items = vec![true; log.items()];
    loop {
        let mut user_events = vec![0; log.users()];
        let mut item_events = vec![0; log.items()];
        for (user, history) in log.histories().enumerate() {
            if kept_users[user] {
                for &item in history {
                    if kept_items[item as usize] {
                        user_events[user] += 1;
                        item_events[item as usize] += 1;
                    }
                }
            }
        }
        let dropped = drop_below(&mut kept_users, &user_events, user_minimum)
            | drop_below(&mut kept_items, &item_events, item_minimum);
        if !dropped {
            let label = format!("core of {user_minimum} events a user, {item_minimum} an item");
            return log.restricted(&kept_users, &kept_items, &label);
        }
    }
}

fn drop_below(kept: &mut [bool], events: &[usize], minimum: usize) -> bool {
    let mut dropped = false;
    for (kept, &events) in kept.iter_mut().zip(events) {
        let drop = *kept && events < minimum;
        *kept &= !drop;
        dropped |= drop;
    }
    dropped
}
