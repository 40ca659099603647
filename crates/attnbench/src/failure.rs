//! How the program fails: what was wrong, what to do, and which exit code says so.

use crate::output;
use attention::Feature;
use attention_variants::{Configured, RegistryError, VARIANTS};
use experiment::study::{StudyDataError, StudyError};
use experiment::tensors::TensorError;
use experiment::{ConfigError, DataError, PlanError, RunError, StoreError};
use miette::Diagnostic;
use report::ReportError;
use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request was wrong: exit code 2.
    Request {
        /// What is wrong with it.
        what: String,
        /// What to do.
        help: Option<String>,
    },
    /// The work failed: exit code 1.
    Work {
        /// What failed.
        what: String,
        /// What to do.
        help: Option<String>,
    },
    /// A config is at fault, and is shown with the place: exit code 2.
    Config(miette::Report),
    /// Whoever read the output has gone, and is owed no explanation.
    ReaderGone,
}

impl Failure {
    /// The request was wrong.
    pub(crate) fn request<'h>(what: impl Into<String>, help: impl Into<Option<&'h str>>) -> Self {
        let help = help.into().map(str::to_owned);
        Self::Request {
            what: what.into(),
            help,
        }
    }

    /// The work failed.
    pub(crate) fn work<'h>(what: impl Into<String>, help: impl Into<Option<&'h str>>) -> Self {
        let help = help.into().map(str::to_owned);
        Self::Work {
            what: what.into(),
            help,
        }
    }

    /// Tells the user, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (what, help, code) = match self {
            Self::Request { what, help } => (what, help, 2),
            Self::Work { what, help } => (what, help, 1),
            Self::Config(report) => {
                output::note(format_args!("{report:?}"));
                return ExitCode::from(2);
            }
            Self::ReaderGone => return ExitCode::SUCCESS,
        };
        output::note(format_args!("error: {what}"));
        if let Some(help) = help {
            output::note(format_args!("help: {help}"));
        }
        ExitCode::from(code)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::request(
            error.to_string(),
            "`attnbench list variants` describes every variant and its parameters",
        )
    }
}

impl From<attention::Error> for Failure {
    fn from(error: attention::Error) -> Self {
        use attention::Error;
        let what = error.to_string();
        match error {
            Error::Unsupported { what: feature, .. } => Self::Request {
                what,
                help: Some(who_supports(&feature)),
            },
            Error::Threads { .. } => Self::work(what, "take fewer, with --threads"),
            Error::Shape { .. } => Self::request(
                what,
                "tensors are Q [B, H, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv]; H is a \
                 multiple of Hkv",
            ),
            _ => Self::request(what, None),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        if error.source_code().is_some() {
            return Self::Config(miette::Report::new(error));
        }
        Self::Request {
            what: error.to_string(),
            help: error.help().map(|help| help.to_string()),
        }
    }
}

impl From<TensorError> for Failure {
    fn from(error: TensorError) -> Self {
        Self::request(error.to_string(), error.help())
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Data(DataError::Tensors(error)) => error.into(),
            PlanError::Data(DataError::Threads(_)) => Self::work(error.to_string(), None),
            _ => Self::request(error.to_string(), None),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Store(error) => error.into(),
            _ => Self::work(error.to_string(), None),
        }
    }
}

impl From<StudyError> for Failure {
    fn from(error: StudyError) -> Self {
        match error {
            StudyError::Store(error) => error.into(),
            StudyError::Data(
                error @ (StudyDataError::Missing { .. } | StudyDataError::Source(_)),
            ) => Self::request(
                error.to_string(),
                "set ATTNBENCH_DATA to the folder of the logs, or try `attnbench train \
                     recommender-simulated`, which needs none",
            ),
            StudyError::Model(_) | StudyError::NotATraining { .. } => {
                Self::request(error.to_string(), None)
            }
            _ => Self::work(error.to_string(), None),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotARun { .. } | StoreError::OtherRun { .. } => {
                Self::request(error.to_string(), None)
            }
            _ => Self::work(error.to_string(), None),
        }
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Self::work(error.to_string(), None)
    }
}

/// The variants that have what another one lacks.
fn who_supports(feature: &str) -> String {
    let able = |feature: Feature| {
        let has = |name| {
            let built = Configured::new(name, []).and_then(|v| v.build());
            built.is_ok_and(|v| v.capabilities().has(feature))
        };
        let names = VARIANTS.iter().map(|v| v.name).filter(|name| has(name));
        names.collect::<Vec<_>>().join(", ")
    };
    let known = Feature::ALL.into_iter().find(|f| f.name() == feature);
    match known.map(able).filter(|names| !names.is_empty()) {
        Some(names) => format!("these variants support it: {names}"),
        None => "`attnbench list variants` says what each variant supports".into(),
    }
}
