//! What is computed and timed of an attention: forward, training, or queries over prepared keys.

use attention::{Attention, Feature, Geometry};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a call of a cell computes.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Pass {
    /// O from Q, K and V.
    #[default]
    Forward,
    /// O and L, then dQ, dK and dV from a dense dO.
    Training,
    /// O from Q, by keys and values that were absorbed once before.
    Decode,
}

impl Pass {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Training, Self::Decode];

    /// The pass in a word, as in configs and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Training => "training",
            Self::Decode => "decode",
        }
    }

    /// The pass of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pass| pass.name() == name)
    }

    /// Operations of a call for `forward` operations of a forward one.
    ///
    /// Forward has two products of the size of S, backward by recomputation five (S, dP, dV, dQ, dK): the usual
    /// count (Dao 2023, FlashAttention-2, section 4.1), applied to every variant.
    #[must_use]
    pub fn flops(self, forward: u64) -> u64 {
        match self {
            Self::Training => forward.saturating_mul(7) / 2,
            Self::Forward | Self::Decode => forward,
        }
    }

    /// Bytes of inputs and outputs for those of Q, K, V and O: training has a gradient of each.
    pub(crate) fn tensor_bytes(self, forward: u64) -> u64 {
        match self {
            Self::Training => 2 * forward,
            Self::Forward | Self::Decode => forward,
        }
    }

    /// Working memory in bytes that a call takes, of which backward reuses what forward had.
    pub(crate) fn scratch_bytes(
        self,
        attention: &dyn Attention,
        geometry: &Geometry,
        threads: usize,
    ) -> u64 {
        let forward = attention.scratch_bytes(geometry, threads);
        match self {
            Self::Training => forward.max(attention.backward_scratch_bytes(geometry, threads)),
            Self::Forward | Self::Decode => forward,
        }
    }

    /// Why a variant cannot be run, or its answer not be judged.
    pub(crate) fn objection(self, attention: &dyn Attention) -> Option<String> {
        let capabilities = attention.capabilities();
        let needed: &[Feature] = match self {
            Self::Forward => &[],
            Self::Training => &[Feature::Backward, Feature::LogSumExp],
            Self::Decode => &[Feature::Prepare],
        };
        let missing = needed.iter().find_map(|f| capabilities.require(*f).err());
        if self == Self::Training && capabilities.has(Feature::Backward) && !capabilities.exact {
            return Some(
                "its gradients cannot be judged: an approximation has an f64 form of its output alone"
                    .into(),
            );
        }
        missing.map(|error| error.to_string())
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
