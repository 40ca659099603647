//! From histories to the parts of a step.

use crate::loss::{Goals, Loss, Negatives};
use crate::model::Tokens;
use crate::prepare::History;
use attention_candle::SKIP;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Events that a part has at least, where there are as many: large enough for the products, small enough for a
/// core's cache.
const EVENTS: usize = 256;

/// One number from several, without pattern: what seeds are made with.
pub(super) fn seed_of(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |key, number| {
        let x = (key ^ number).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ x >> 31
    })
}

/// Who takes part in an epoch, in which order.
pub(super) fn order(histories: &[History<'_>], seed: u64, epoch: u64) -> Vec<usize> {
    let mut users: Vec<usize> = (0..histories.len())
        .filter(|&user| histories[user].len() > 1)
        .collect();
    users.shuffle(&mut ChaCha8Rng::seed_from_u64(seed_of(&[seed, 0, epoch])));
    users
}

/// A run of histories that one worker takes from item vectors to gradients.
#[derive(Debug)]
pub(super) struct Part<'h> {
    pub(super) histories: Vec<History<'h>>,
    /// Inputs a history is lengthened to.
    padded: usize,
    pub(super) longest: usize,
    targets: Option<usize>,
}

/// What becomes of histories.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// The most recent events that the model looks at.
    pub(super) longest: usize,
    /// Whether they are lengthened to the longest of the batch.
    pub(super) padded: bool,
    /// Targets a history, where each is a question of its own.
    pub(super) targets: Option<usize>,
}

/// Cuts a batch into parts; gives the number of positions that count as well.
pub(super) fn parts<'h>(batch: &[History<'h>], cut: Cut) -> (Vec<Part<'h>>, usize) {
    let Cut {
        longest,
        padded,
        targets,
    } = cut;
    let inputs = |history: &History<'_>| (history.len() - 1).min(longest);
    let asked = |inputs: usize| targets.map_or(1, |targets| targets.min(inputs));
    let most = batch.iter().map(inputs).max().unwrap_or(0);
    let padded = if padded { most } else { 0 };
    let (mut parts, mut events): (Vec<Part<'h>>, _) = (Vec::new(), EVENTS);
    for history in batch {
        if events >= EVENTS {
            parts.push(Part {
                histories: Vec::new(),
                padded,
                longest,
                targets,
            });
            events = 0;
        }
        events += inputs(history).max(padded) * asked(inputs(history));
        if let Some(part) = parts.last_mut() {
            part.histories.push(*history);
        }
    }
    let positions = |history| targets.map_or(inputs(history), |_| asked(inputs(history)));
    (parts, batch.iter().map(positions).sum())
}

/// What a part asks of the model: its events, its goals, and the items that they are about.
pub(super) struct Question {
    pub(super) tokens: Tokens,
    pub(super) goals: Goals,
    /// The catalogue's numbers of the rows that tokens and goals speak of; all items where it is empty.
    pub(super) items: Vec<u32>,
}

impl Part<'_> {
    /// The events that predict, what they shall predict (of each history only the last event, where
    /// `last`), and negatives drawn by `seed`.
    pub(super) fn question(&self, loss: Loss, catalogue: usize, seed: u64, last: bool) -> Question {
        if let Some(targets) = self.targets {
            return self.choices(targets, loss, catalogue, seed, last);
        }
        let mut negatives = Negatives::new(seed, catalogue);
        let (mut ids, mut places, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        let (mut goals, mut ratings) = (Vec::new(), Vec::new());
        for history in &self.histories {
            let window = history.recent(self.longest + 1);
            let (inputs, targets) = (&window.items[..window.len() - 1], &window.items[1..]);
            let seen = if loss.avoids_seen() {
                sorted(history.items)
            } else {
                Vec::new()
            };
            ids.extend_from_slice(inputs);
            places.extend((self.longest - inputs.len()..self.longest).map(|place| place as u32));
            for (n, target) in targets.iter().enumerate() {
                if last && n + 1 < targets.len() {
                    goals.extend((0..=loss.negatives()).map(|_| SKIP));
                    continue;
                }
                goals.push(*target);
                goals.extend((0..loss.negatives()).map(|_| negatives.draw(&seen)));
            }
            ratings.extend(window.ratings.iter().flat_map(|ratings| &ratings[1..]));
            for _ in inputs.len()..self.padded {
                ids.push(inputs[0]);
                places.push(0);
                goals.extend((0..=loss.negatives()).map(|_| SKIP));
                ratings.extend(window.ratings.map(|_| 0.0));
            }
            offsets.push(ids.len());
        }
        let items = if loss.is_full() {
            Vec::new()
        } else {
            localise(&mut ids, &mut goals)
        };
        let tokens = Tokens {
            ids: ids.into(),
            places: places.into(),
            offsets: offsets.into(),
        };
        Question {
            tokens,
            goals: Goals {
                rows: goals.into(),
                ratings: ratings.into(),
            },
            items,
        }
    }
}

pub(super) fn sorted(history: &[u32]) -> Vec<u32> {
    let mut items = history.to_vec();
    items.sort_unstable();
    items
}

/// Replaces items by their places among those that occur, which it gives, ascending.
///
/// A bit says that an item occurs, and the bits before it say its place. Cost: O(ids + goals + I/64) for a catalogue
/// of I items.
pub(super) fn localise(ids: &mut [u32], goals: &mut [u32]) -> Vec<u32> {
    let given = || ids.iter().chain(&*goals).filter(|item| **item != SKIP);
    let words = given().max().map_or(0, |&last| last as usize / 64 + 1);
    let mut marks = vec![0u64; words];
    for &item in given() {
        marks[item as usize / 64] |= 1u64 << (item % 64);
    }
    let (mut items, mut before) = (Vec::new(), Vec::with_capacity(words));
    for (word, &mark) in marks.iter().enumerate() {
        before.push(items.len() as u32);
        let mut left = mark;
        while left != 0 {
            items.push(word as u32 * 64 + left.trailing_zeros());
            left &= left - 1;
        }
    }
    for item in ids.iter_mut().chain(goals).filter(|item| **item != SKIP) {
        let (word, below) = (*item as usize / 64, (1u64 << (*item % 64)) - 1);
        *item = before[word] + (marks[word] & below).count_ones();
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_predicts_each_next_item_of_the_latest_events() {
        let histories: [&[u32]; 2] = [&[4, 9, 4, 7, 2], &[9, 1]];
        let cut = Cut {
            longest: 3,
            padded: true,
            targets: None,
        };
        let (parts, positions) = parts(&histories.map(History::of), cut);
        assert_eq!((parts.len(), positions), (1, 4));
        let question = parts[0].question(Loss::Bce { negatives: 1 }, 20, 5, false);
        let item = |row: u32| {
            if row == SKIP {
                SKIP
            } else {
                question.items[row as usize]
            }
        };
        let ids: Vec<u32> = question.tokens.ids.iter().map(|&row| item(row)).collect();
        let goals: Vec<u32> = question.goals.rows.iter().map(|&row| item(row)).collect();
        assert_eq!(
            ids,
            [9, 4, 7, 9, 9, 9],
            "the second history is padded behind its one input"
        );
        assert_eq!(*question.tokens.places, [0, 1, 2, 2, 0, 0]);
        assert_eq!(*question.tokens.offsets, [0, 3, 6]);
        let targets: Vec<u32> = goals.iter().step_by(2).copied().collect();
        assert_eq!(targets, [4, 7, 2, 1, SKIP, SKIP]);
        let negatives: Vec<u32> = goals.iter().skip(1).step_by(2).copied().collect();
        assert!(
            negatives[..3]
                .iter()
                .all(|item| !histories[0].contains(item))
        );
        assert_eq!(negatives[4..], [SKIP, SKIP]);
    }

    #[test]
    fn items_become_places_among_those_that_occur() {
        let (mut ids, mut goals) = ([130, 63, 64, 63], [0, SKIP, 127, 130, 64]);
        let items = localise(&mut ids, &mut goals);
        assert_eq!(items, [0, 63, 64, 127, 130]);
        assert_eq!(ids, [4, 1, 2, 1]);
        assert_eq!(goals, [0, SKIP, 3, 4, 2]);
        assert!(localise(&mut [], &mut [SKIP]).is_empty());
    }

    #[test]
    fn epochs_differ_in_order_and_leave_out_who_has_nothing_to_predict() {
        let histories: [&[u32]; 5] = [&[1, 2], &[3], &[4, 5], &[], &[1, 4, 6]];
        let histories = histories.map(History::of);
        let mut first = order(&histories, 1, 0);
        assert_eq!(first, order(&histories, 1, 0));
        assert!((1..20).any(|epoch| order(&histories, 1, epoch) != first));
        first.sort_unstable();
        assert_eq!(first, [0, 2, 4]);
    }
}
