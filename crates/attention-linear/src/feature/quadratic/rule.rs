//! What tells the variants of this family apart, and the sizes that follow.

use crate::feature::kernels::LANES;
use crate::feature::map::{CHUNK, Extent};
use crate::feature::state::Sizes as StateSizes;
use ::attention::{Geometry, Init, Problem, TensorSpec};

/// p(s) = `second`·s², or 1 + s + `second`·s².
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Polynomial {
    pub(super) first: bool,
    pub(super) second: f32,
}

impl Polynomial {
    /// Features of y with so many entries.
    pub(super) fn width(self, rank: usize) -> usize {
        let lower = if self.first { rank + 1 } else { 0 };
        rank * (rank + 1) / 2 + lower
    }
}

/// A variant with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Entries that tokens are projected to; 0 for all D and no projection.
    pub(super) dim: usize,
    /// Blocks of keys, the query's own and those before, that are weighed by exp(scale·q·k); 0 for
    /// none.
    pub(super) window: usize,
    pub(super) polynomial: Polynomial,
    /// Whether y is normalised (and the scale ignored), or s is times the scale.
    pub(super) normalises: bool,
}

impl Rule {
    /// r.
    pub(super) fn rank(&self, d: usize) -> usize {
        if self.dim == 0 { d } else { self.dim }
    }

    /// Blocks that are weighed key by key: a query's own, and as many before as the window has.
    pub(super) fn near(&self) -> usize {
        self.window.max(1)
    }

    /// The first block of keys that is near to queries that end in a block.
    pub(super) fn first_near(&self, block: usize) -> usize {
        (block + 1).saturating_sub(self.near())
    }

    pub(super) fn sizes(&self, geometry: &Geometry) -> Sizes {
        let shape = geometry.shape();
        let rank = self.rank(shape.d);
        let width = self.polynomial.width(rank);
        let projected = if self.dim == 0 { 0 } else { shape.d * rank };
        let learned = projected + if self.normalises { 2 * rank } else { 0 };
        let flops = 2 * projected + 2 * width + if self.normalises { 8 * rank } else { 0 };
        Sizes {
            rank,
            projected,
            near: self.near() * CHUNK,
            state: StateSizes {
                d: shape.d,
                dv: shape.dv,
                extent: Extent {
                    learned,
                    ..Extent::plain(width, flops as u64)
                },
            },
        }
    }

    /// In the order in which gradients of a key head lie.
    pub(super) fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        let shape = geometry.shape();
        let rank = self.rank(shape.d);
        let spec = |name, shape, init, summary| TensorSpec {
            name,
            learned: true,
            shape,
            init,
            summary,
        };
        let mut tensors = Vec::new();
        if self.dim > 0 {
            tensors.push(spec(
                "projection",
                vec![shape.hkv, shape.d, rank],
                Init::Normal(1.0 / (rank as f32).sqrt()),
                "W, of queries and keys to the entries whose products are weighed",
            ));
        }
        if self.normalises {
            for (name, init, summary) in [
                ("gamma", 1.0, "γ, times the normalised entries"),
                ("beta", 0.0, "β, added to them"),
            ] {
                let shape = vec![shape.hkv, rank];
                tensors.push(spec(name, shape, Init::Constant(init), summary));
            }
        }
        tensors
    }

    /// A tensor of a problem, empty where the rule has none.
    pub(super) fn tensor<'p>(problem: &'p Problem<'_>, name: &str) -> &'p [f32] {
        let tensor = problem.tensor(name).and_then(|t| t.as_slice());
        tensor.unwrap_or_default()
    }
}

/// Sizes that every buffer follows.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// r.
    pub(super) rank: usize,
    /// Floats of W of one key head.
    pub(super) projected: usize,
    /// Most keys that are weighed one by one.
    pub(super) near: usize,
    /// Of the state, with m features.
    pub(super) state: StateSizes,
}

impl Sizes {
    /// Floats between rows of y: a vector may be read from any entry.
    pub(super) fn row(&self) -> usize {
        self.lanes() + LANES
    }

    /// r in whole lanes.
    pub(super) fn lanes(&self) -> usize {
        self.rank.next_multiple_of(LANES)
    }
}
