//! Which keys are kept, from a row of scores.
//!
//! No pass over a row branches on its scores, save to take what is found: rows of any content cost
//! much the same, and all loops vectorise.

/// Scores of which a few are looked for at a time.
const GROUP: usize = 32;

/// Stands for the score of a key that is not visible, below every score.
pub(super) const HIDDEN: f32 = f32::from_bits(u32::MAX);

/// A score's place in their order, that of `f32::total_cmp`: 0 for [`HIDDEN`], and NaN, of which
/// scores have only the positive one, above infinity.
#[inline(always)]
fn rank(score: f32) -> u32 {
    let bits = score.to_bits();
    bits ^ (((bits as i32) >> 31) as u32 | 1 << 31)
}

/// Lowest rank of a visible key.
const VISIBLE: u32 = 1;

/// Maxima over which a row is folded to bound its k-th largest score: k of 2k maxima are reached by
/// some 1.4·k scores of a long row in no particular order.
fn maxima(k: usize) -> usize {
    k.saturating_mul(2).next_multiple_of(GROUP)
}

/// Floats of room that [`threshold`] wants for rows of up to `nk` scores.
pub(super) fn room(k: usize, nk: usize) -> usize {
    if folds(k, nk) { maxima(k) + nk } else { 0 }
}

/// Whether folding leaves out enough to be worth it.
fn folds(k: usize, nk: usize) -> bool {
    k < nk && maxima(k) <= nk / 2
}

/// What the k best of a row have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Threshold {
    /// Ranks above it are kept.
    rank: u32,
    /// So many of those that equal it are kept, the earlier ones.
    ties: usize,
}

/// The threshold of the k largest scores that are not [`HIDDEN`].
///
/// Cost: two passes over the row and 32 over each of 2k maxima and the scores that reach the k-th
/// of them; 32 passes over a row of fewer than 4k.
#[inline(always)]
pub(super) fn threshold(scores: &[f32], k: usize, room: &mut [f32]) -> Threshold {
    let all = Threshold {
        rank: VISIBLE,
        ties: usize::MAX,
    };
    if scores.len() <= k {
        return all;
    }
    let candidates = if folds(k, scores.len()) {
        let (maxima, room) = room.split_at_mut(maxima(k));
        maxima.fill(HIDDEN);
        for scores in scores.chunks(maxima.len()) {
            for (most, &s) in maxima.iter_mut().zip(scores) {
                *most = if rank(s) > rank(*most) { s } else { *most };
            }
        }
        let bound = kth(maxima, k).max(VISIBLE);
        let mut held = 0;
        each_at_least(scores, bound, |_, s| {
            room[held] = s;
            held += 1;
        });
        &room[..held]
    } else {
        scores
    };
    let rank = kth(candidates, k);
    if rank < VISIBLE {
        return all;
    }
    Threshold {
        rank,
        ties: k - reaching(candidates, rank + 1),
    }
}

/// The k-th largest rank, 0 where there are fewer: bit after bit from the highest, the largest rank
/// that k scores reach.
#[inline(always)]
fn kth(scores: &[f32], k: usize) -> u32 {
    let mut rank = 0;
    for bit in (0..u32::BITS).rev() {
        let higher = rank | 1 << bit;
        rank = if reaching(scores, higher) >= k {
            higher
        } else {
            rank
        };
    }
    rank
}

/// How many scores have at least this rank.
#[inline(always)]
fn reaching(scores: &[f32], least: u32) -> usize {
    // Counted in 32 bits: as many lanes as the scores have.
    let count =
        |scores: &[f32]| -> u32 { scores.iter().map(|&s| u32::from(rank(s) >= least)).sum() };
    scores
        .chunks(1 << 30)
        .map(|part| count(part) as usize)
        .sum()
}

/// Calls `found` on the scores that have at least this rank, in order.
#[inline(always)]
fn each_at_least(scores: &[f32], least: u32, mut found: impl FnMut(usize, f32)) {
    let (groups, rest) = scores.as_chunks::<GROUP>();
    for (group, scores) in groups.iter().enumerate() {
        let mut bits = 0_u32;
        for (lane, &s) in scores.iter().enumerate() {
            bits |= u32::from(rank(s) >= least) << lane;
        }
        while bits != 0 {
            let lane = bits.trailing_zeros() as usize;
            found(group * GROUP + lane, scores[lane]);
            bits &= bits - 1;
        }
    }
    for (lane, &s) in rest.iter().enumerate() {
        if rank(s) >= least {
            found(groups.len() * GROUP + lane, s);
        }
    }
}

/// Calls `keep` on the kept keys, in order.
#[inline(always)]
pub(super) fn each_kept(scores: &[f32], threshold: Threshold, mut keep: impl FnMut(usize, f32)) {
    let mut ties = threshold.ties;
    each_at_least(scores, threshold.rank, |j, s| {
        if rank(s) == threshold.rank {
            if ties == 0 {
                return;
            }
            ties -= 1;
        }
        keep(j, s);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    fn kept(scores: &[f32], k: usize, hidden: &[bool]) -> Vec<usize> {
        let hide = |(&s, &hidden)| if hidden { HIDDEN } else { s };
        let scores: Vec<f32> = scores.iter().zip(hidden).map(hide).collect();
        let mut room = vec![0.0; room(k, scores.len())];
        let threshold = threshold(&scores, k, &mut room);
        let mut kept = Vec::new();
        each_kept(&scores, threshold, |j, _| kept.push(j));
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
