//! Histories of a log: clusters, popularity and repetition as they are.

use super::request::normal;
use super::{History, InputError, Needs, Request, Workload};
use crate::config::Padding;
use crate::data::{DataError, Log};
use ndarray::{Array2, ArrayViewMut2, Axis};
use rand::seq::index;

/// Users' histories of the interaction log.
pub(super) static HISTORIES: Workload = Workload {
    name: "histories",
    label: "histories",
    summary: "histories of the log: keys are item embeddings with positions, queries those of the same events, \
              values item embeddings without",
    source: "embeddings: recommender::learn_item_embeddings, rotated at random and cut into heads; positions: \
             Vaswani et al. 2017, section 3.5, at half size; natural scale: entries of the order of 1",
    least_dimension: 1,
    needs: Needs::Log,
    generate,
};

/// Size of the positional encoding beside embeddings of the order of 1.
const POSITION: f32 = 0.5;

/// More components than this are noise in a log of ordinary size, and cost the most to learn.
const COMPONENTS: usize = 128;

/// A log without enough histories of a length.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "{label} has {found} histories of {length} events or more, {needed} needed; its longest has {longest}"
)]
pub struct TooShort {
    /// The log.
    pub label: String,
    /// N.
    pub length: usize,
    /// Histories that are long enough.
    pub found: usize,
    /// Histories needed.
    pub needed: usize,
    /// Events of the longest history.
    pub longest: usize,
}

/// Users whose histories make a batch of `batch` with at most `length` events each; the first has as
/// many, and without padding by the log all have.
pub(crate) fn users_for(
    log: &Log,
    seed: u64,
    length: usize,
    batch: usize,
    padding: Padding,
) -> Result<Vec<usize>, TooShort> {
    let lengths = log.interactions().lengths();
    let long: Vec<usize> = (0..lengths.len())
        .filter(|&u| lengths[u] >= length)
        .collect();
    let long_needed = if padding == Padding::Log {
        1.min(batch)
    } else {
        batch
    };
    let few = |found| TooShort {
        label: log.label().to_owned(),
        length: if found == long.len() { length } else { 1 },
        found,
        needed: if found == long.len() {
            long_needed
        } else {
            batch
        },
        longest: lengths.iter().copied().max().unwrap_or(0),
    };
    if long.len() < long_needed {
        return Err(few(long.len()));
    }
    let mut rng = crate::hash::stream(seed, "users", &[length]);
    let mut users: Vec<usize> = index::sample(&mut rng, long.len(), long_needed)
        .into_iter()
        .map(|i| long[i])
        .collect();
    if users.len() < batch {
        let rest: Vec<usize> = (0..lengths.len())
            .filter(|u| lengths[*u] > 0 && !users.contains(u))
            .collect();
        let more = batch - users.len();
        if rest.len() < more {
            return Err(few(rest.len() + users.len()));
        }
        users.extend(
            index::sample(&mut rng, rest.len(), more)
                .into_iter()
                .map(|i| rest[i]),
        );
    }
    Ok(users)
}

/// Lengths of the users' histories, cut to `length`.
pub(crate) fn lengths_of_log(log: &Log, users: &[usize], length: usize) -> Vec<usize> {
    users
        .iter()
        .map(|&user| log.interactions().history(user).len().min(length))
        .collect()
}

/// Learns what [`generate`] will ask the log for. Apart, because learning has a pool of its own.
pub(super) fn prepare(log: &Log, hkv: usize, d: usize, dv: usize) -> Result<(), DataError> {
    for features in [hkv * d, hkv * dv] {
        log.embeddings(features.min(COMPONENTS))?;
    }
    Ok(())
}

fn generate(request: &Request<'_>) -> Result<History, InputError> {
    let (log, user) = request.log.ok_or(DataError::NoLog)?;
    let history = log.interactions().history(user);
    let events = &history[history.len().saturating_sub(request.nk)..];
    let keys = rotated(
        request,
        log,
        events,
        "histories keys",
        request.hkv * request.d,
    )?;
    let values = rotated(
        request,
        log,
        events,
        "histories values",
        request.hkv * request.dv,
    )?;
    let position = positions(events.len(), request.d);
    let cut = |from: &Array2<f32>, head: usize, width: usize, mut to: ArrayViewMut2<'_, f32>| {
        let features = head * width..(head + 1) * width;
        to.assign(&from.slice_axis(Axis(1), features.into()));
    };
    Ok(request.build(
        |h, mut q| {
            let mut all = Array2::zeros((events.len(), request.d));
            cut(&keys, request.key_head(h), request.d, all.view_mut());
            all += &position;
            let last = events.len() - request.nq.min(events.len())..events.len();
            q.assign(&all.slice_axis(Axis(0), last.into()));
        },
        |h, mut k| {
            cut(&keys, h, request.d, k.view_mut());
            k += &position;
        },
        |h, v| cut(&values, h, request.dv, v),
    ))
}

/// Embeddings of the events `[events, features]`, rotated at random so that all features, and so all
/// heads, are alike: the components of a factorisation are ordered by weight.
fn rotated(
    request: &Request<'_>,
    log: &Log,
    events: &[u32],
    name: &str,
    features: usize,
) -> Result<Array2<f32>, InputError> {
    let embeddings = log.embeddings(features.min(COMPONENTS))?;
    let components = embeddings.ncols();
    let mut gathered = Array2::zeros((events.len(), components));
    for (mut row, &item) in gathered.axis_iter_mut(Axis(0)).zip(events) {
        row.assign(&embeddings.row(item as usize));
    }
    let mut rng = request.shared_stream(name);
    let mut rotation = normal(&mut rng, components, features);
    orthonormalise(&mut rotation);
    // Orthonormal rows keep norms; entries shrink when few components fill many features.
    rotation *= (features as f32 / components.max(1) as f32).sqrt();
    Ok(gathered.dot(&rotation))
}

/// Gram-Schmidt on the rows, twice, which is enough (Giraud et al. 2005).
fn orthonormalise(rows: &mut Array2<f32>) {
    for r in 0..rows.nrows() {
        let mut row = rows.row(r).to_owned();
        for _ in 0..2 {
            for before in 0..r {
                let overlap = row.dot(&rows.row(before));
                row.scaled_add(-overlap, &rows.row(before));
            }
        }
        let norm = row.dot(&row).sqrt();
        if norm > 0.0 {
            row /= norm;
        }
        rows.row_mut(r).assign(&row);
    }
}

/// Sinusoids of wavelengths from 2π to 10000·2π, `[n, D]`.
fn positions(n: usize, d: usize) -> Array2<f32> {
    Array2::from_shape_fn((n, d), |(position, feature)| {
        let exponent = (feature / 2 * 2) as f64 / d as f64;
        let angle = position as f64 / 10_000f64.powf(exponent);
        POSITION
            * if feature % 2 == 0 {
                angle.sin()
            } else {
                angle.cos()
            } as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use recommender::Interactions;

    fn log() -> Log {
        let histories: Vec<Vec<u32>> = (0..30)
            .map(|u| {
                (0..10 + u)
                    .map(|t| (u % 3) * 20 + (t * 7 + u) % 20)
                    .collect()
            })
            .collect();
        Log::of(Interactions::from_histories(&histories, 60), "test log")
    }

    #[test]
    fn users_are_long_enough_distinct_and_seeded() {
        let log = log();
        let users = users_for(&log, 1, 20, 5, Padding::None).unwrap();
        assert!(
            users
                .iter()
                .all(|&u| log.interactions().history(u).len() >= 20)
        );
        let mut sorted = users.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 5);
        assert_eq!(users, users_for(&log, 1, 20, 5, Padding::None).unwrap());
        assert_ne!(users, users_for(&log, 2, 20, 5, Padding::None).unwrap());
        let padded = users_for(&log, 1, 39, 9, Padding::Log).unwrap();
        let lengths = lengths_of_log(&log, &padded, 39);
        assert_eq!(lengths[0], 39);
        assert!(lengths[1..].iter().any(|n| *n < 39));
    }

    #[test]
    fn a_log_too_short_names_its_longest_history() {
        let error = users_for(&log(), 1, 50, 2, Padding::None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "test log has 0 histories of 50 events or more, 2 needed; its longest has 39"
        );
    }

    #[test]
    fn rotations_keep_inner_products_and_repeated_items_have_equal_values() {
        let log = log();
        let request = Request {
            seed: 3,
            history: 0,
            h: 2,
            hkv: 2,
            nq: 12,
            nk: 30,
            d: 8,
            dv: 8,
            log: Some((&log, 25)),
            tensors: None,
        };
        let history = generate(&request).unwrap();
        let events = &log.interactions().history(25)[5..];
        let table = log.embeddings(16).unwrap();
        for (i, j) in [(0, 1), (2, 22), (5, 5)] {
            let product = |h: usize| {
                let v = history.v.index_axis(Axis(0), h);
                v.row(i).dot(&v.row(j))
            };
            let expected = table
                .row(events[i] as usize)
                .dot(&table.row(events[j] as usize));
            approx::assert_relative_eq!(product(0) + product(1), expected, epsilon = 1e-3);
        }
        let (a, b) = (2, 22);
        assert_eq!(events[a], events[b], "an item repeats after 20 events");
        let v = history.v.index_axis(Axis(0), 1);
        assert_eq!(v.row(a), v.row(b));
        let (q, k) = (
            history.q.index_axis(Axis(0), 0),
            history.k.index_axis(Axis(0), 0),
        );
        assert_eq!(
            q.row(11),
            k.row(29),
            "the last query stands at the last event"
        );
    }
}
