//! What is doubtful about a measurement, and what to do about it.
//!
//! Every warning carries advice, after hyperfine's manner: a warning that only complains is ignored.

mod machine;
mod samples;

pub use machine::{machine_warnings, peak_drift, steal};
pub use samples::sample_warnings;

use serde::{Deserialize, Serialize};

/// What a warning is about; written in kebab case (`few-rounds`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Other programs need the CPUs that the measurement uses.
    Load,
    /// The frequency governor is not `performance`.
    Governor,
    /// More threads than CPUs.
    Oversubscription,
    /// The processor's peak differs before and after.
    Throttling,
    /// The host of a virtual machine withheld CPU time.
    Steal,
    /// Too few rounds for an interval.
    FewRounds,
    /// The interval of the median is wider than asked.
    WideInterval,
    /// The second half of the rounds differs from the first.
    Drift,
    /// Single samples far from the rest.
    Outliers,
}

impl Code {
    /// Every code, in the order of their declaration.
    pub const ALL: [Code; 9] = [
        Code::Load,
        Code::Governor,
        Code::Oversubscription,
        Code::Throttling,
        Code::Steal,
        Code::FewRounds,
        Code::WideInterval,
        Code::Drift,
        Code::Outliers,
    ];

    /// The code as it is written in records: `few-rounds`.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Load => "load",
            Code::Governor => "governor",
            Code::Oversubscription => "oversubscription",
            Code::Throttling => "throttling",
            Code::Steal => "steal",
            Code::FewRounds => "few-rounds",
            Code::WideInterval => "wide-interval",
            Code::Drift => "drift",
            Code::Outliers => "outliers",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One doubt about a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What it is about.
    pub code: Code,
    /// What was seen, with the numbers.
    pub message: String,
    /// What to do.
    pub advice: String,
}

impl Warning {
    fn new(code: Code, message: String, advice: impl Into<String>) -> Self {
        Self {
            code,
            message,
            advice: advice.into(),
        }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}. {}.", self.code, self.message, self.advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_the_same_everywhere() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
        }
    }
}
