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
    "hardware-ladder",
    "training",
    "decode"
];

/// The embedded experiments, the quickest first.
#[must_use]
pub fn experiments() -> &'static [Preset] {
    PRESETS
}
