//! Models by name.

use super::{
    AttentionConfig, Gru4Rec, Gru4RecConfig, Hstu, HstuConfig, ModelError, NextItNet,
    NextItNetConfig, SasRec, SasRecConfig, SequenceModel, TargetAttention, TargetAttentionConfig,
};

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
    /// Gated blocks of pointwise attention.
    Hstu(HstuConfig),
    /// Gated recurrent units.
    Gru4rec(Gru4RecConfig),
    /// Dilated causal convolutions.
    Nextitnet(NextItNetConfig),
    /// Attention of each candidate over the history: multi-head target attention, DIN, interest pooling.
    TargetAttention(TargetAttentionConfig),
}

impl ModelConfig {
    /// The model, which begins by a seed.
    ///
    /// # Errors
    /// [`ModelError`] for settings that cannot be.
    pub fn build(&self, seed: u64) -> Result<Box<dyn SequenceModel>, ModelError> {
        Ok(match self {
            Self::Sasrec(config) => Box::new(SasRec::new(config, seed)?),
            Self::Hstu(config) => Box::new(Hstu::new(config, seed)?),
            Self::Gru4rec(config) => Box::new(Gru4Rec::new(config, seed)?),
            Self::Nextitnet(config) => Box::new(NextItNet::new(config, seed)?),
            Self::TargetAttention(config) => Box::new(TargetAttention::new(config, seed)?),
        })
    }

    /// The attention inside, where one is chosen.
    #[must_use]
    pub fn attention(&self) -> Option<&AttentionConfig> {
        match self {
            Self::Sasrec(config) => Some(&config.attention),
            Self::Hstu(config) => config.attention.as_ref(),
            Self::TargetAttention(config) => Some(&config.attention),
            Self::Gru4rec(_) | Self::Nextitnet(_) => None,
        }
    }

    /// The same model with another attention; itself where it has none.
    #[must_use]
    pub fn with_attention(mut self, attention: AttentionConfig) -> Self {
        match &mut self {
            Self::Sasrec(config) => config.attention = attention,
            Self::Hstu(config) => config.attention = Some(attention),
            Self::TargetAttention(config) => config.attention = attention,
            Self::Gru4rec(_) | Self::Nextitnet(_) => {}
        }
        self
    }

    /// The most events of a history that it looks at.
    #[must_use]
    pub fn longest(&self) -> usize {
        match self {
            Self::Sasrec(config) => config.longest,
            Self::Hstu(config) => config.longest,
            Self::TargetAttention(config) => config.longest,
            Self::Gru4rec(config) => config.longest,
            Self::Nextitnet(config) => config.longest,
        }
    }

    /// The same model for histories of another length.
    #[must_use]
    pub fn with_longest(mut self, longest: usize) -> Self {
        let setting = match &mut self {
            Self::Sasrec(config) => &mut config.longest,
            Self::Hstu(config) => &mut config.longest,
            Self::TargetAttention(config) => &mut config.longest,
            Self::Gru4rec(config) => &mut config.longest,
            Self::Nextitnet(config) => &mut config.longest,
        };
        *setting = longest;
        self
    }
}
