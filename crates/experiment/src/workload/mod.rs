//! What Q, K and V are made of.
//!
//! A workload is one [`Workload`] beside its code and one line in [`WORKLOADS`]. Every tensor comes
//! from its own stream, keyed by seed, workload, history and head: inputs depend on seed, workload,
//! sizes, mask and entropy alone, never on variant, threads or the order of cells.

mod clusters;
pub mod entropy;
mod gaussian;
mod histories;
mod inputs;
mod recency;
mod request;
mod sink;
mod tensors;

pub use entropy::{OutOfReach, Tuned};
pub use histories::TooShort;
pub(crate) use histories::{lengths_of_log, users_for};
pub use inputs::{Batch, InputError, InputSpec, Inputs};
pub use request::{History, Request};

/// Everything that lists, configs and records need to know of a workload.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Its key in configs.
    pub name: &'static str,
    /// For axis labels and legends.
    pub label: &'static str,
    /// What it is like, in a line.
    pub summary: &'static str,
    /// Where it comes from, and its natural scale.
    pub source: &'static str,
    /// Smallest D that it can be made for.
    pub least_dimension: usize,
    /// What it reads.
    pub needs: Needs,
    /// Makes one history.
    pub generate: fn(&Request<'_>) -> Result<History, InputError>,
}

/// What a workload reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it is generated.
    Nothing,
    /// The interaction log.
    Log,
    /// Q, K and V in files.
    Tensors,
}

/// Every workload, in the order in which tables list them.
pub static WORKLOADS: &[&Workload] = &[
    &gaussian::GAUSSIAN,
    &clusters::CLUSTERS,
    &recency::RECENCY,
    &sink::SINK,
    &histories::HISTORIES,
    &tensors::TENSORS,
];

/// A workload by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|w| w.name == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One history of `n` events, two query heads, two key heads.
    pub(super) fn request(n: usize, d: usize) -> Request<'static> {
        Request {
            seed: 7,
            history: 0,
            h: 2,
            hkv: 2,
            nq: n,
            nk: n,
            d,
            dv: d,
            log: None,
            tensors: None,
        }
    }

    /// S = Q·K/√D.
    pub(super) fn score(history: &History, head: usize, i: usize, j: usize) -> f64 {
        let features = 0..history.q.dim().2;
        let product = features
            .clone()
            .map(|f| f64::from(history.q[[head, i, f]] * history.k[[head, j, f]]));
        product.sum::<f64>() / (features.len() as f64).sqrt()
    }
}
