//! `cells.toml`: which cells, who takes part, and the ratios aimed at.

use attention_variants::{Configured, RegistryError};
use peers::{Dtype, SOFTMAX, Work};
use serde::Deserialize;
use std::fmt;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Decides inputs, samples of rows and the order of the rounds.
    pub(crate) seed: u64,
    /// Groups of cells that are read together.
    pub(crate) group: Vec<Group>,
}

/// Cells that are read together, with the same contenders.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Its heading in the table.
    pub(crate) title: String,
    /// `softmax`, or the variant that ours and the peers compute.
    #[serde(default = "softmax")]
    attention: String,
    #[serde(deserialize_with = "work")]
    work: Work,
    #[serde(deserialize_with = "dtype")]
    dtype: Dtype,
    /// (B, H, N, D) of each cell.
    shapes: Vec<[usize; 4]>,
    /// Queries, where there are not as many as keys.
    queries: Option<usize>,
    /// `full`, `causal`, `blocks SPARSITY` or `lengths MEDIAN SIGMA`.
    masks: Vec<String>,
    pub(crate) threads: Vec<usize>,
    /// Registered variants; the first is the one judged.
    pub(crate) ours: Vec<String>,
    /// Peers, by their names in the catalog.
    pub(crate) peers: Vec<String>,
    /// The peer that ratios are taken to.
    pub(crate) baseline: String,
    #[serde(default)]
    pub(crate) target: Vec<Target>,
}

/// A ratio aimed at: our time over another's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// `baseline`, `best`, or one of ours by name.
    pub(crate) against: String,
    pub(crate) threads: usize,
    /// One of the group's masks; absent, all of them.
    pub(crate) mask: Option<String>,
    /// The geometric mean over the group's shapes is at most this.
    pub(crate) mean: Option<f64>,
    /// No cell is above this.
    pub(crate) each: Option<f64>,
    /// Shortest and longest N that count; absent, all.
    pub(crate) lengths: Option<[usize; 2]>,
}

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) group: String,
    pub(crate) b: usize,
    pub(crate) h: usize,
    pub(crate) nq: usize,
    pub(crate) nk: usize,
    pub(crate) d: usize,
    pub(crate) mask: String,
    pub(crate) attention: String,
    pub(crate) work: Work,
    pub(crate) dtype: Dtype,
    pub(crate) threads: usize,
}

impl Group {
    /// Its cells for a number of threads.
    pub(crate) fn specs(&self, threads: usize) -> Vec<Spec> {
        let cells = self
            .shapes
            .iter()
            .flat_map(|shape| self.masks.iter().map(move |mask| (*shape, mask.clone())));
        cells
            .map(|([b, h, n, d], mask)| Spec {
                group: self.name.clone(),
                b,
                h,
                nq: self.queries.unwrap_or(n),
                nk: n,
                d,
                mask,
                attention: self.attention.clone(),
                work: self.work,
                dtype: self.dtype,
                threads,
            })
            .collect()
    }
}

impl Spec {
    /// The variant that is computed, where it is not softmax attention.
    pub(crate) fn variant(&self) -> Result<Option<Configured>, RegistryError> {
        let other = self.attention != SOFTMAX;
        other
            .then(|| Configured::new(&self.attention, []))
            .transpose()
    }
}

fn softmax() -> String {
    SOFTMAX.into()
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            group,
            b,
            h,
            nq,
            nk,
            d,
            mask,
            threads,
            ..
        } = self;
        let (work, dtype) = (self.work.name(), self.dtype.name());
        write!(
            f,
            "{group}: B={b} H={h} Nq={nq} Nk={nk} D={d} {mask}, {work} {dtype}, {threads} threads"
        )
    }
}

fn work<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Work, D::Error> {
    named(
        from,
        &[Work::Forward, Work::Training, Work::Decode],
        Work::name,
    )
}

fn dtype<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Dtype, D::Error> {
    named(from, &[Dtype::F32, Dtype::Bf16], Dtype::name)
}

fn named<'de, D: serde::Deserializer<'de>, T: Copy>(
    from: D,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    let known = || all.iter().map(|x| name(*x)).collect::<Vec<_>>().join(", ");
    all.iter()
        .find(|x| name(**x) == text)
        .copied()
        .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is none of {}", known())))
}
