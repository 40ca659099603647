//! What no variant of this crate can have, and why.

use attention::{Capabilities, Feature};

const SHARED: &str = "all queries share one sum over the keys before them, \
                      so no query can leave out keys of its own";

/// Capabilities of a variant whose queries share one running sum.
pub(crate) fn linear(name: &'static str) -> Capabilities {
    Capabilities::all(name, false)
        .without(Feature::Window, SHARED)
        .without(Feature::DenseMask, SHARED)
        .without(Feature::BlockMask, SHARED)
        .without(
            Feature::Bias,
            "scores are never formed, so there is nothing to add a bias to",
        )
        .without(
            Feature::LogSumExp,
            "weights are products of features, not exponentials of scores",
        )
        .without(Feature::Dropout, "it has no weights to drop")
}
