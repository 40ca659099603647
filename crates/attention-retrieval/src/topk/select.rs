//! Which keys are kept, from a row of scores.

use std::cmp::Ordering;

/// Scores of this and a little room for more are looked at together, so that a key which is not
/// among the best so far costs a comparison and no more.
const GROUP: usize = 8;

/// Least room for scores beside the k best.
const ROOM: usize = 192;

/// Largest to be first; NaN, of which scores have only the positive one, is larger than infinity.
fn descending(a: &f32, b: &f32) -> Ordering {
    b.total_cmp(a)
}

/// Floats of room that [`threshold`] wants for rows of up to `nk` scores.
pub(super) fn room(k: usize, nk: usize) -> usize {
    k.saturating_add(k.max(ROOM)).min(nk)
}

/// What the k best of a row have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Threshold {
    /// Scores above it are kept.
    value: f32,
    /// So many of those that equal it are kept, the earlier ones.
    ties: usize,
}

/// The threshold of the k largest scores among those of visible keys.
///
/// Cost: one comparison a score, and O(room) whenever room is full, which for scores in no
/// particular order happens O(log(Nk/k)) times.
pub(super) fn threshold(
    scores: &[f32],
    k: usize,
    visible: impl Fn(usize) -> bool,
    room: &mut [f32],
) -> Threshold {
    let mut best = f32::NEG_INFINITY;
    let mut full = false;
    let mut held = 0;
    for (group, scores) in scores.chunks(GROUP).enumerate() {
        if full
            && !scores
                .iter()
                .fold(false, |any, &s| any | (s > best) | s.is_nan())
        {
            continue;
        }
        for (lane, s) in scores.iter().enumerate() {
            let better = !full || s.total_cmp(&best) == Ordering::Greater;
            if better && visible(group * GROUP + lane) {
                if held == room.len() {
                    best = kth(&mut room[..held], k);
                    (full, held) = (true, k);
                    if s.total_cmp(&best) != Ordering::Greater {
                        continue;
                    }
                }
                room[held] = *s;
                held += 1;
            }
        }
    }
    if held <= k && !full {
        return Threshold {
            value: f32::NEG_INFINITY,
            ties: usize::MAX,
        };
    }
    let value = kth(&mut room[..held], k);
    let above = room[..k]
        .iter()
        .filter(|s| s.total_cmp(&value) == Ordering::Greater)
        .count();
    Threshold {
        value,
        ties: k - above,
    }
}

/// The k-th largest of at least k scores; the k largest are moved to the front.
fn kth(scores: &mut [f32], k: usize) -> f32 {
    *scores.select_nth_unstable_by(k - 1, descending).1
}

/// Calls `keep` on the kept keys, in order.
pub(super) fn each_kept(
    scores: &[f32],
    threshold: Threshold,
    visible: impl Fn(usize) -> bool,
    mut keep: impl FnMut(usize, f32),
) {
    let Threshold { value, mut ties } = threshold;
    for (group, scores) in scores.chunks(GROUP).enumerate() {
        if !scores
            .iter()
            .fold(false, |any, &s| any | (s >= value) | s.is_nan())
        {
            continue;
        }
        for (lane, s) in scores.iter().enumerate() {
            let j = group * GROUP + lane;
            let order = s.total_cmp(&value);
            if order == Ordering::Less || order == Ordering::Equal && ties == 0 || !visible(j) {
                continue;
            }
            ties -= usize::from(order == Ordering::Equal);
            keep(j, *s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(scores: &[f32], k: usize, hidden: &[bool]) -> Vec<usize> {
        let visible = |j: usize| !hidden[j];
        let mut room = vec![0.0; room(k, scores.len())];
        let threshold = threshold(scores, k, visible, &mut room);
        let mut kept = Vec::new();
        each_kept(scores, threshold, visible, |j, _| kept.push(j));
        kept
    }

    /// By sorting: NaN first, then by score, then by place.
    fn sorted(scores: &[f32], k: usize, hidden: &[bool]) -> Vec<usize> {
        let mut keys: Vec<usize> = (0..scores.len()).filter(|&j| !hidden[j]).collect();
        keys.sort_by(|&a, &b| {
            let (x, y) = (scores[a], scores[b]);
            y.is_nan()
                .cmp(&x.is_nan())
                .then(y.partial_cmp(&x).unwrap_or(Ordering::Equal))
                .then(a.cmp(&b))
        });
        keys.truncate(k);
        keys.sort_unstable();
        keys
    }

    proptest! {
        /// Few distinct scores, so that ties are the rule.
        #[test]
        fn the_k_largest_are_kept_and_earlier_ties_win(
            row in proptest::collection::vec((0u8..12, any::<bool>()), 0..900),
            k in 1usize..60,
            rising in any::<bool>(),
        ) {
            let scores: Vec<f32> = row.iter().enumerate().map(|(j, &(x, _))| match x {
                0 => f32::NAN,
                1 => f32::INFINITY,
                2 => f32::NEG_INFINITY,
                _ if rising => f32::from(x) + j as f32 / 8.0,
                _ => f32::from(x),
            }).collect();
            let hidden: Vec<bool> = row.iter().map(|&(x, hidden)| hidden && x != 5).collect();
            prop_assert_eq!(kept(&scores, k, &hidden), sorted(&scores, k, &hidden));
        }
    }

    #[test]
    fn rows_of_nothing_but_nan_keep_k() {
        assert_eq!(kept(&[f32::NAN; 500], 3, &[false; 500]), [0, 1, 2]);
    }
}
