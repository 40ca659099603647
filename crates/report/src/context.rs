use serde::Serialize;

/// What the page says beside the records: the question, and how to ask it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Context {
    /// The experiment's name.
    pub experiment: String,
    /// The question, as prose; blank lines part paragraphs.
    pub question: String,
    /// The config as it was given.
    pub config_toml: String,
    /// The machine, as (label, value) pairs in the order to show.
    pub machine: Vec<(String, String)>,
    /// Identity of the code.
    pub code: String,
    /// When the run started, as it should be shown.
    pub started: String,
    /// What makes the run as a whole doubtful, and what to do about it.
    pub warnings: Vec<String>,
    /// The command that repeats the run.
    pub command: String,
}
