//! Models by name.

use super::{AttentionConfig, ModelError, SasRec, SasRecConfig, SequenceModel};

/// A model and its settings, in configs a table under the model's name: `model = { sasrec = { width = 64 } }`.
///
/// ```
/// use recommender::model::{AttentionConfig, ModelConfig};
///
/// let model: ModelConfig = serde_json::from_str(r#"{ "sasrec": { "width": 32, "blocks": 1 } }"#)?;
/// let attention = AttentionConfig { variant: "linear-elu".into(), ..AttentionConfig::default() };
/// assert_eq!(model.with_attention(attention).build(1)?.width(), 32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ModelConfig {
    /// Causal self-attention over a history.
    Sasrec(SasRecConfig),
}

impl ModelConfig {
    /// The model, which begins by a seed.
    ///
    /// # Errors
    /// [`ModelError`] for settings that cannot be.
    pub fn build(&self, seed: u64) -> Result<Box<dyn SequenceModel>, ModelError> {
        Ok(match self {
            Self::Sasrec(config) => Box::new(SasRec::new(config, seed)?),
        })
    }

    /// The attention inside, where there is one.
    #[must_use]
    pub fn attention(&self) -> Option<&AttentionConfig> {
        match self {
            Self::Sasrec(config) => Some(&config.attention),
        }
    }

    /// The most events of a history that it looks at.
    #[must_use]
    pub fn longest(&self) -> usize {
        match self {
            Self::Sasrec(config) => config.longest,
        }
    }

    /// The same model for histories of another length.
    #[must_use]
    pub fn with_longest(mut self, longest: usize) -> Self {
        match &mut self {
            Self::Sasrec(config) => config.longest = longest,
        }
        self
    }

    /// The same model with another attention; itself where it has none.
    #[must_use]
    pub fn with_attention(mut self, attention: AttentionConfig) -> Self {
        match &mut self {
            Self::Sasrec(config) => config.attention = attention,
        }
        self
    }
}
