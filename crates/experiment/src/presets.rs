//! Experiments that come with the program.

/// An embedded experiment.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name, and that of its file.
    pub name: &'static str,
    /// Its TOML.
    pub text: &'static str,
}

macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        &[$(Preset { name: $name, text: include_str!(concat!("../../../experiments/", $name, ".toml")) }),*]
    };
}

static PRESETS: &[Preset] = presets![
    "quickstart",
    "length-sweep",
    "sparsity-sweep",
    "entropy-sweep",
    "linear-features",
    "crossover",
    "histories",
    "trained-inputs",
    "hardware-ladder",
    "training",
    "decode",
    "linear-scaling",
    "linear-decode",
];

static STUDIES: &[Preset] = presets![
    "recommender-simulated",
    "recommender-movielens",
    "recommender-beauty",
    "recommender-retail",
    "recommender-attentions",
    "swap-test",
    "depth",
];

/// The embedded experiments, the quickest first.
#[must_use]
pub fn experiments() -> &'static [Preset] {
    PRESETS
}

/// The embedded studies of recommenders, the quickest first.
#[must_use]
pub fn studies() -> &'static [Preset] {
    STUDIES
}
