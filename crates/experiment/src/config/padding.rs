//! How history lengths vary within a batch.

use std::fmt;

/// Lengths of a batch's histories; the longest is always N.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Padding {
    /// All N.
    None,
    /// Log-normal with this σ, scaled so that the longest is N.
    Lognormal(f64),
    /// Those of users of the log, cut to N; the first user's history is at least N long.
    Log,
}

impl Padding {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "log" => Ok(Self::Log),
            Some(("lognormal", sigma)) => match sigma.trim().parse::<f64>() {
                Ok(sigma) if sigma > 0.0 && sigma <= 5.0 => Ok(Self::Lognormal(sigma)),
                _ => Err("a σ above 0, at most 5, as in lognormal:1.0".into()),
            },
            _ => Err("one of none, lognormal:SIGMA, log".into()),
        }
    }
}

impl fmt::Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Lognormal(sigma) => write!(f, "lognormal:{sigma}"),
            Self::Log => f.write_str("log"),
        }
    }
}
