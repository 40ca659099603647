//! What a part asks of a model that scores candidates.

use super::batches::{Part, Question, localise, seed_of, sorted};
use crate::loss::{Goals, Loss, Negatives};
use crate::model::Tokens;
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

impl Part<'_> {
    /// Some targets of each history (the last event alone, where `last`), each with the events before it as a
    /// history of its own: the goals are its candidates, negatives drawn by `seed` behind it.
    pub(super) fn choices(
        &self,
        targets: usize,
        loss: Loss,
        catalogue: usize,
        seed: u64,
        last: bool,
    ) -> Question {
        let mut negatives = Negatives::new(seed, catalogue);
        let mut chooser = ChaCha8Rng::seed_from_u64(seed_of(&[seed, 3]));
        let (mut ids, mut places, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        let (mut goals, mut ratings) = (Vec::new(), Vec::new());
        for history in &self.histories {
            let (events, inputs) = (history.len(), (history.len() - 1).min(self.longest));
            let seen = if loss.avoids_seen() {
                sorted(history.items)
            } else {
                Vec::new()
            };
            let mut behind = if last {
                vec![0]
            } else {
                sample(&mut chooser, inputs, targets.min(inputs)).into_vec()
            };
            behind.sort_unstable_by(|a, b| b.cmp(a));
            for target in behind.into_iter().map(|behind| events - 1 - behind) {
                let before = &history.items[target.saturating_sub(self.longest)..target];
                ids.extend_from_slice(before);
                places
                    .extend((self.longest - before.len()..self.longest).map(|place| place as u32));
                offsets.push(ids.len());
                goals.push(history.items[target]);
                goals.extend((0..loss.negatives()).map(|_| negatives.draw(&seen)));
                ratings.extend(history.ratings.map(|ratings| ratings[target]));
            }
        }
        let items = localise(&mut ids, &mut goals);
        Question {
            tokens: Tokens {
                ids: ids.into(),
                places: places.into(),
                offsets: offsets.into(),
            },
            goals: Goals {
                rows: goals.into(),
                ratings: ratings.into(),
            },
            items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::batches::{Cut, parts};
    use super::*;
    use crate::prepare::History;

    #[test]
    fn a_target_has_the_events_before_it_and_negatives_of_its_own() {
        let rated = [0.5, 1.5, 2.5, 3.5, 4.5];
        let history = History {
            ratings: Some(&rated),
            ..History::of(&[4, 9, 1, 7, 2])
        };
        let cut = Cut {
            longest: 3,
            padded: false,
            targets: Some(2),
        };
        let (parts, positions) = parts(&[history, History::of(&[9, 1])], cut);
        assert_eq!((parts.len(), positions), (1, 3));
        let mut chosen = std::collections::BTreeSet::new();
        for seed in 0..30 {
            let question = parts[0].question(Loss::Bce { negatives: 2 }, 20, seed, false);
            let item = |row: &u32| question.items[*row as usize];
            for (bounds, goals) in question
                .tokens
                .offsets
                .windows(2)
                .zip(question.goals.rows.chunks(3))
            {
                let before: Vec<u32> = question.tokens.ids[bounds[0]..bounds[1]]
                    .iter()
                    .map(item)
                    .collect();
                let places = &question.tokens.places[bounds[0]..bounds[1]];
                assert_eq!(
                    places.last(),
                    Some(&2),
                    "the latest event has the last place"
                );
                let target = item(&goals[0]);
                let expected: &[u32] = match target {
                    9 => panic!("beyond the latest events"),
                    1 if before == [9] => &[9],
                    1 => &[4, 9],
                    7 => &[4, 9, 1],
                    _ => &[9, 1, 7],
                };
                assert_eq!(before, expected);
                assert!(goals[1..].iter().all(|row| ![9, 1].contains(&item(row))));
                chosen.insert((target, before.len()));
            }
        }
        let all = [(1, 1), (1, 2), (2, 3), (7, 3)];
        assert_eq!(chosen.into_iter().collect::<Vec<_>>(), all);
        let question = parts[0].question(Loss::Mse, 20, 1, true);
        assert_eq!(
            question.tokens.offsets.len(),
            3,
            "the last event of each history"
        );
        assert_eq!(question.goals.ratings[0], 4.5);
    }
}
