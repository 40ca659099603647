//! What kind of shop to simulate.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Parameters of a simulated shop.
///
/// The default has about 600 users, 2,000 items and 160,000 to 200,000 events, with histories from a handful of events up
/// to a few thousand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShopConfig {
    /// Number of users.
    pub users: usize,
    /// Number of items in the catalogue, also of those that nobody buys.
    pub items: usize,
    /// Number of interest clusters; every item belongs to one.
    pub clusters: usize,
    /// Seed of everything.
    pub seed: u64,
    /// Median history length.
    pub median_length: f64,
    /// σ of the logarithm of the history length (log-normal); 0 gives every user the median.
    pub length_sigma: f64,
    /// Shortest history.
    pub min_length: usize,
    /// Longest history; longer ones are cut to it.
    pub max_length: usize,
    /// s of the Zipf popularity rank^-s of items.
    pub zipf_exponent: f64,
    /// σ of a user's log-interest over clusters: 0 likes all alike, 2.5 puts most of the weight on two or three.
    pub interest_sigma: f64,
    /// Mean number of events in a session.
    pub session_length: f64,
    /// Probability that an event is of its session's cluster; otherwise a cluster is drawn anew.
    pub session_stickiness: f64,
    /// Share of the log-interest's standard deviation that is drawn anew from one session to the next.
    pub drift: f64,
    /// Probability of buying an item again that the user has bought before in the cluster.
    pub repeat: f64,
    /// Probability that an event is the companion of the item before it (a fixed item of the same cluster).
    pub companion: f64,
}

impl Default for ShopConfig {
    fn default() -> Self {
        Self {
            users: 600,
            items: 2_000,
            clusters: 20,
            seed: 1,
            median_length: 200.0,
            length_sigma: 1.0,
            min_length: 5,
            max_length: 4_096,
            zipf_exponent: 1.0,
            interest_sigma: 2.5,
            session_length: 8.0,
            session_stickiness: 0.8,
            drift: 0.05,
            repeat: 0.1,
            companion: 0.15,
        }
    }
}

/// A parameter that no shop can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("simulated shop: {parameter} is {found}, expected {expected}")]
pub struct ShopError {
    /// The parameter's name.
    pub parameter: &'static str,
    /// Its value.
    pub found: String,
    /// What it may be.
    pub expected: &'static str,
}

impl ShopConfig {
    /// Checks every parameter.
    ///
    /// # Errors
    /// The first parameter out of its range.
    pub fn validate(&self) -> Result<(), ShopError> {
        let refuse = |parameter, found: &dyn fmt::Display, expected| {
            Err(ShopError {
                parameter,
                found: found.to_string(),
                expected,
            })
        };
        let probabilities = [
            ("session_stickiness", self.session_stickiness),
            ("drift", self.drift),
            ("repeat", self.repeat),
            ("companion", self.companion),
        ];
        if !(1..=u32::MAX as usize).contains(&self.users) {
            return refuse("users", &self.users, "1 to 2^32 - 1");
        }
        if !(1..=u32::MAX as usize).contains(&self.items) {
            return refuse("items", &self.items, "1 to 2^32 - 1");
        }
        if !(1..=self.items).contains(&self.clusters) {
            return refuse("clusters", &self.clusters, "1 to the number of items");
        }
        if !(1..=self.max_length).contains(&self.min_length) {
            return refuse("min_length", &self.min_length, "1 to max_length");
        }
        if !(1.0..=1e9).contains(&self.median_length) {
            return refuse("median_length", &self.median_length, "1 to 1e9");
        }
        if !(1.0..=1e6).contains(&self.session_length) {
            return refuse("session_length", &self.session_length, "1 to 1e6");
        }
        for (parameter, value) in [
            ("length_sigma", self.length_sigma),
            ("zipf_exponent", self.zipf_exponent),
            ("interest_sigma", self.interest_sigma),
        ] {
            if !(0.0..=10.0).contains(&value) {
                return refuse(parameter, &value, "0 to 10");
            }
        }
        for (parameter, value) in probabilities {
            if !(0.0..=1.0).contains(&value) {
                return refuse(parameter, &value, "0 to 1");
            }
        }
        if self.repeat + self.companion > 1.0 {
            return refuse(
                "repeat + companion",
                &(self.repeat + self.companion),
                "at most 1",
            );
        }
        Ok(())
    }
}

impl fmt::Display for ShopConfig {
    /// Every parameter, with all the digits needed to read it back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "users={} items={} clusters={} seed={} median_length={} length_sigma={} min_length={} max_length={} \
             zipf_exponent={} interest_sigma={} session_length={} session_stickiness={} drift={} repeat={} companion={}",
            self.users,
            self.items,
            self.clusters,
            self.seed,
            self.median_length,
            self.length_sigma,
            self.min_length,
            self.max_length,
            self.zipf_exponent,
            self.interest_sigma,
            self.session_length,
            self.session_stickiness,
            self.drift,
            self.repeat,
            self.companion
        )
    }
}
