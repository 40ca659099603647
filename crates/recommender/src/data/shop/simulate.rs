//! Drawing the shop's log.

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::catalogue::{Catalogue, pick};
use super::config::{ShopConfig, ShopError};
use super::math::{exp, ln, normal_quantile};
use crate::data::interactions::{Interactions, content_checksum};
use crate::data::names::Names;

/// Unix seconds at which the shop opens (2020-01-01 UTC).
const OPENING: i64 = 1_577_836_800;
const SECONDS_A_DAY: f64 = 86_400.0;
const DAYS_BETWEEN_SESSIONS: f64 = 3.0;
const SECONDS_BETWEEN_EVENTS: f64 = 90.0;

/// A simulated log together with what made it.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedShop {
    /// The log, with times in unix seconds; the catalogue holds every item, bought or not.
    pub interactions: Interactions,
    /// Cluster of each item.
    pub item_cluster: Vec<u32>,
    /// True interest of each user at the end of their history, `[users, clusters]`; rows add up to 1.
    pub user_interest: Array2<f32>,
    /// What this is, in a sentence that calls it simulated.
    pub description: String,
}

/// Simulates an online shop.
///
/// Items belong to interest clusters and are popular by Zipf's law. A user has an interest over clusters (softmax of
/// normal values), which drifts slowly from session to session (an Ornstein-Uhlenbeck walk, so that its spread stays).
/// Each session draws a cluster from the interest and mostly stays in it; within a cluster an event is an item bought
/// before, the companion of the item before it, or an item by popularity. History lengths are log-normal. Sessions lie
/// some days apart, events within one a minute or two.
///
/// The content depends on the configuration alone, not on the machine: a seeded ChaCha8 generator, and only arithmetic
/// that IEEE 754 defines to the bit. Cost: O(events + sessions · clusters).
///
/// # Errors
/// [`ShopError`] names a parameter out of its range.
///
/// ```
/// use recommender::{ShopConfig, simulate_shop};
///
/// let shop = simulate_shop(&ShopConfig { users: 20, items: 60, clusters: 4, ..ShopConfig::default() })?;
/// assert_eq!(shop.interactions.users(), 20);
/// assert_eq!(shop.user_interest.dim(), (20, 4));
/// assert!(shop.description.starts_with("simulated shop"));
/// # Ok::<(), recommender::ShopError>(())
/// ```
pub fn simulate_shop(config: &ShopConfig) -> Result<SimulatedShop, ShopError> {
    config.validate()?;
    let catalogue = Catalogue::draw(config);
    let mut shop = Histories {
        offsets: vec![0],
        items: Vec::new(),
        times: Vec::new(),
    };
    let mut user_interest = Array2::zeros((config.users, config.clusters));
    for (user, mut row) in user_interest.rows_mut().into_iter().enumerate() {
        // A stream of its own for each user: a user stays the same when more are added.
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(1 + user as u64);
        let interest = User::draw(config, &mut rng).shop(config, &catalogue, &mut rng, &mut shop);
        row.iter_mut()
            .zip(interest)
            .for_each(|(cell, weight)| *cell = weight as f32);
    }
    let Histories {
        offsets,
        items,
        times,
    } = shop;
    let label = format!("simulated shop, {config}");
    let checksum = content_checksum(&label, &offsets, &items, Some(&times));
    let description = format!(
        "simulated shop, not a real log: {} users, {} items in {} clusters, {} events, seed {}",
        config.users,
        config.items,
        config.clusters,
        items.len(),
        config.seed
    );
    let user_names: Names = (0..config.users)
        .map(|user| format!("user-{user}"))
        .collect();
    let item_names: Names = (0..config.items)
        .map(|item| format!("item-{item}"))
        .collect();
    let interactions = Interactions::from_parts(
        offsets,
        items,
        Some(times),
        user_names,
        item_names,
        checksum,
    );
    Ok(SimulatedShop {
        interactions,
        item_cluster: catalogue.cluster,
        user_interest,
        description,
    })
}

struct Histories {
    offsets: Vec<usize>,
    items: Vec<u32>,
    times: Vec<i64>,
}

struct User {
    length: usize,
    log_interest: Vec<f64>,
}

impl User {
    fn draw(config: &ShopConfig, rng: &mut ChaCha8Rng) -> Self {
        let length = config.median_length * exp(config.length_sigma * normal(rng));
        let length = (length.round() as usize).clamp(config.min_length, config.max_length);
        let log_interest = (0..config.clusters)
            .map(|_| config.interest_sigma * normal(rng))
            .collect();
        Self {
            length,
            log_interest,
        }
    }

    /// Draws the history, and returns the interest at its end.
    fn shop(
        mut self,
        config: &ShopConfig,
        catalogue: &Catalogue,
        rng: &mut ChaCha8Rng,
        log: &mut Histories,
    ) -> Vec<f64> {
        let mut bought: Vec<Vec<u32>> = vec![Vec::new(); config.clusters];
        let end = log.items.len() + self.length;
        let mut time = OPENING + (SECONDS_A_DAY * 365.0 * rng.random::<f64>()) as i64;
        let mut cumulative = running_softmax(&self.log_interest);
        while log.items.len() < end {
            let cluster = pick(&cumulative, rng);
            let mut before: Option<u32> = None;
            loop {
                let stays = rng.random::<f64>() < config.session_stickiness;
                let at = if stays {
                    cluster
                } else {
                    pick(&cumulative, rng)
                };
                let (kind, past) = (rng.random::<f64>(), &mut bought[at]);
                let item = match before {
                    _ if kind < config.repeat && !past.is_empty() => {
                        past[rng.random_range(0..past.len() as u32) as usize]
                    }
                    Some(last) if stays && kind >= 1.0 - config.companion => {
                        catalogue.companion[last as usize]
                    }
                    _ => catalogue.popular(at, rng),
                };
                past.push(item);
                // Companions belong to the session's own thread, which an event elsewhere does not break.
                if stays {
                    before = Some(item);
                }
                log.items.push(item);
                log.times.push(time);
                time += 1 + exponential(SECONDS_BETWEEN_EVENTS, rng);
                if log.items.len() == end || rng.random::<f64>() * config.session_length < 1.0 {
                    break;
                }
            }
            if log.items.len() < end {
                time += 3_600 + exponential(DAYS_BETWEEN_SESSIONS * SECONDS_A_DAY, rng);
                self.drift(config, rng);
                cumulative = running_softmax(&self.log_interest);
            }
        }
        log.offsets.push(end);
        let total = cumulative.last().copied().unwrap_or(1.0);
        let mut below = 0.0;
        cumulative
            .iter()
            .map(|&sum| (sum - std::mem::replace(&mut below, sum)) / total)
            .collect()
    }

    fn drift(&mut self, config: &ShopConfig, rng: &mut ChaCha8Rng) {
        let kept = (1.0 - config.drift * config.drift).sqrt();
        for value in &mut self.log_interest {
            *value = kept * *value + config.drift * config.interest_sigma * normal(rng);
        }
    }
}

/// Running sums of e^(v - max v).
fn running_softmax(values: &[f64]) -> Vec<f64> {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values
        .iter()
        .scan(0.0, |sum, &value| {
            *sum += exp(value - largest);
            Some(*sum)
        })
        .collect()
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    normal_quantile(open_unit(rng))
}

fn exponential(mean: f64, rng: &mut ChaCha8Rng) -> i64 {
    (-mean * ln(open_unit(rng))) as i64
}

/// Uniform on (0, 1), neither end included.
fn open_unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.random::<f64>() + f64::EPSILON / 4.0).min(1.0 - f64::EPSILON / 2.0)
}
