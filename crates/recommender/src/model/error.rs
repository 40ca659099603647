//! Why a model could not be made or run.

/// What is wrong with a model's configuration, or with a call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The attention's name or parameters.
    #[error(transparent)]
    Registry(#[from] attention_variants::RegistryError),
    /// The attention's refusal.
    #[error(transparent)]
    Attention(#[from] attention::Error),
    /// An op's refusal.
    #[error(transparent)]
    Op(#[from] attention_candle::Error),
    /// The tape's.
    #[error(transparent)]
    Tape(#[from] candle_core::Error),
    /// A setting that cannot be.
    #[error("{setting} = {value}: {expected}")]
    Setting {
        /// Its key in configs.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// States of a model that has none.
    #[error(
        "a candidate model has no state behind an event: its scores depend on the candidate, ask it for those"
    )]
    NoStates,
    /// Nothing that could be kept of a user between events.
    #[error("nothing is kept of a user between events: {reason}")]
    NoCache {
        /// Why.
        reason: &'static str,
    },
    /// A side input of an attention that the model does not know how to make.
    #[error(
        "{variant} needs the side input `{name}`, which no projection of a sequence model makes; known are log_decay, beta, step"
    )]
    SideInput {
        /// The variant.
        variant: &'static str,
        /// The side input.
        name: &'static str,
    },
}

/// Refuses sizes of zero.
pub(super) fn at_least_one<const N: usize>(
    sizes: [(&'static str, usize); N],
) -> Result<(), ModelError> {
    match sizes.into_iter().find(|(_, value)| *value == 0) {
        Some((setting, value)) => Err(ModelError::Setting {
            setting,
            value: value.to_string(),
            expected: "at least 1",
        }),
        None => Ok(()),
    }
}

/// Refuses heads that do not divide the width.
pub(super) fn divides(heads: usize, width: usize) -> Result<(), ModelError> {
    if width.is_multiple_of(heads) {
        return Ok(());
    }
    Err(ModelError::Setting {
        setting: "heads",
        value: heads.to_string(),
        expected: "a divisor of the width",
    })
}
