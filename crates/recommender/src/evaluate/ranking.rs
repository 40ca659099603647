//! Ranks within one row of scores. An item whose score is NaN is not ranked: that is how seen items are taken out.

/// Rank of an item, from 1: items with a higher score, or with the same score and a lower index, come before it.
///
/// 0 where the item is not ranked.
pub(super) fn rank(scores: &[f32], item: u32) -> u32 {
    let own = scores[item as usize];
    if own.is_nan() {
        return 0;
    }
    let (before, after) = scores.split_at(item as usize);
    let ahead = |row: &[f32], ahead: fn(f32, f32) -> bool| -> u32 {
        row.iter().map(|&score| u32::from(ahead(score, own))).sum()
    };
    1 + ahead(before, |score, own| score >= own) + ahead(after, |score, own| score > own)
}

/// Rank of an item, from 1, among these others.
pub(super) fn rank_among(scores: &[f32], item: u32, others: &[u32]) -> u32 {
    let own = scores[item as usize];
    let ahead = others
        .iter()
        .filter(|&&other| {
            let score = scores[other as usize];
            score > own || (score == own && other < item)
        })
        .count();
    1 + ahead as u32
}

/// The `k` items of the highest scores, best first, ties by item index; items whose score is NaN are left out.
///
/// Cost: one pass over the scores, and O(k) for each of the few that enter the list.
///
/// ```
/// use recommender::evaluate::top_k;
///
/// assert_eq!(top_k(&[0.1, 0.7, f32::NAN, 0.7], 3), [(1, 0.7), (3, 0.7), (0, 0.1)]);
/// ```
pub fn top_k(scores: &[f32], k: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(k.min(scores.len()) + 1);
    if k == 0 {
        return best;
    }
    for (item, &score) in scores.iter().enumerate() {
        let enters = match best.last() {
            Some(&(_, last)) if best.len() == k => score > last,
            _ => !score.is_nan(),
        };
        if enters {
            // Items come in order of index: after all of the same score is where this one belongs.
            let at = best.partition_point(|&(_, other)| other >= score);
            best.insert(at, (item as u32, score));
            best.truncate(k);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scores() -> impl Strategy<Value = Vec<f32>> {
        let score = prop_oneof![
            4 => (-3i8..3).prop_map(f32::from),
            1 => Just(f32::NAN),
            1 => Just(f32::NEG_INFINITY),
            1 => Just(-0.0),
        ];
        proptest::collection::vec(score, 1..40)
    }

    proptest! {
        #[test]
        fn ranks_and_lists_are_those_of_a_stable_sort(scores in scores(), k in 0usize..45) {
            let mut order: Vec<u32> = (0..scores.len() as u32)
                .filter(|&item| !scores[item as usize].is_nan())
                .collect();
            order.sort_by(|&a, &b| scores[b as usize].partial_cmp(&scores[a as usize]).unwrap());
            for item in 0..scores.len() as u32 {
                let place = order.iter().position(|&other| other == item);
                prop_assert_eq!(rank(&scores, item) as usize, place.map_or(0, |place| place + 1));
                if place.is_some() {
                    let others: Vec<u32> = order.iter().copied().filter(|&other| other != item).rev().collect();
                    prop_assert_eq!(rank_among(&scores, item, &others), rank(&scores, item));
                }
            }
            let listed: Vec<u32> = top_k(&scores, k).into_iter().map(|(item, _)| item).collect();
            prop_assert_eq!(&listed[..], &order[..k.min(order.len())]);
        }
    }
}
