//! How positions are counted.

use super::{ModelError, Tokens};

/// Which row of a table of positions is added to an event of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// The latest event has the last row: what a row means is how long ago an event was. A new event moves all
    /// others, so that nothing made of them can be kept.
    #[default]
    FromLatest,
    /// The first event that the model looks at has the first row: events stay where they are when others
    /// follow, as a [`UserState`](super::UserState) needs.
    FromFirst,
}

impl Positions {
    /// Whether it is what configs without it mean.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The same tokens with their places counted so.
    pub(super) fn of(self, tokens: &Tokens) -> Tokens {
        let mut tokens = tokens.clone();
        if self == Self::FromFirst {
            let lengths = tokens
                .offsets
                .windows(2)
                .map(|bounds| bounds[1] - bounds[0]);
            tokens.places = lengths.flat_map(|length| 0..length as u32).collect();
        }
        tokens
    }

    /// Asks that events stay where they are.
    pub(super) fn expect_fixed(self) -> Result<(), ModelError> {
        match self {
            Self::FromFirst => Ok(()),
            Self::FromLatest => Err(ModelError::NoCache {
                reason: "its positions are counted from the latest event, so that each new one moves all others; \
                         `positions = \"from-first\"` counts them from the first",
            }),
        }
    }
}
