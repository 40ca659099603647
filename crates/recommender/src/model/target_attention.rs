//! Target attention: the candidate is the query, the history the keys and values.

use super::error::{at_least_one, divides};
use super::mixer::{AttentionConfig, Mixer};
use super::{CandidateModel, ModelError, Parameters, Pass, Requests, SequenceModel, Tokens};
use attention::dropout::Dropout;
use attention_candle::{Activation, Affine, Drop, Embed};
use candle_core::{Tensor, Var};

/// The settings of a [`TargetAttention`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TargetAttentionConfig {
    /// The length D of item vectors.
    pub width: usize,
    /// The most recent events that it looks at.
    pub longest: usize,
    /// Heads, which divide the width.
    pub heads: usize,
    /// Whether queries, keys, values and the interest are projected.
    pub projections: bool,
    /// Whether events are told apart by their places.
    pub positions: bool,
    /// Widths of the hidden layers behind \[interest; candidate; product\]; without one the logit is the product
    /// of interest and candidate, and a bias of each.
    pub hidden: Vec<usize>,
    /// Share of the events' entries and of attention weights dropped in training.
    pub dropout: f32,
    /// Its attention.
    pub attention: AttentionConfig,
}

impl Default for TargetAttentionConfig {
    /// Multi-head target attention: the hidden layers are those of DIN's authors (200, 80), the width is that of
    /// RecBole's sequence models, the rest that of SASRec's authors.
    fn default() -> Self {
        Self {
            width: 64,
            longest: 200,
            heads: 2,
            projections: true,
            positions: true,
            hidden: vec![200, 80],
            dropout: 0.2,
            attention: AttentionConfig::default(),
        }
    }
}

impl TargetAttentionConfig {
    /// A deep interest network (Zhou et al., KDD 2018, section 4.3): the activation unit that the registry knows as
    /// `din`, on item vectors as they are, without places.
    #[must_use]
    pub fn din() -> Self {
        Self {
            heads: 1,
            projections: false,
            positions: false,
            dropout: 0.0,
            attention: AttentionConfig {
                variant: "din".into(),
                ..AttentionConfig::default()
            },
            ..Self::default()
        }
    }

    /// Interest pooling: softmax of the candidate's similarity with each event, the weighted sum as the user's
    /// interest, and its product with the candidate as the prediction, of a rating
    /// ([`Loss::Mse`](crate::loss::Loss::Mse)) or of a choice.
    ///
    /// With `attention.variant = "additive"` the similarity is that of Bahdanau et al. 2015.
    #[must_use]
    pub fn interest() -> Self {
        Self {
            heads: 1,
            positions: false,
            hidden: Vec::new(),
            dropout: 0.0,
            ..Self::default()
        }
    }
}

/// Attention of candidates over a history, and layers on what it comes to.
///
/// interest = attention(candidate, events, events); logit = MLP(\[interest; candidate; interest∘candidate\]), with
/// max(x, 0) in the place of DIN's own activation. Where there is no hidden layer the logit is interest·candidate, as
/// in matrix factorisation, with a bias that is linear in the interest (the user's) and in the candidate (the item's).
///
/// ```
/// use attention::Workers;
/// use attention_candle::Engine;
/// use recommender::model::{TargetAttention, TargetAttentionConfig};
/// use recommender::train::{TrainConfig, Trainer};
///
/// let histories: Vec<Vec<u32>> = (0..40).map(|user| (0..8).map(|t| (user + t) % 20).collect()).collect();
/// let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
/// let settings = TargetAttentionConfig { width: 16, hidden: vec![16], ..TargetAttentionConfig::default() };
/// let config = TrainConfig { batch: 8, targets: 4, learning_rate: 5e-3, ..TrainConfig::default() };
/// let model = Box::new(TargetAttention::new(&settings, 1)?);
/// let mut trainer = Trainer::new(model, 20, config, Engine::new(Workers::new(2)?))?;
/// let first = trainer.epoch(&histories)?;
/// let last = (0..9).map(|_| trainer.epoch(&histories)).last().transpose()?;
/// assert!(last.is_some_and(|report| report.loss < first.loss));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TargetAttention {
    config: TargetAttentionConfig,
    parameters: Parameters,
    positions: Option<Var>,
    mixer: Mixer,
    layers: Vec<Var>,
}

impl TargetAttention {
    /// A model that begins by a seed.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for sizes that cannot be, and what the registry says of the attention.
    pub fn new(config: &TargetAttentionConfig, seed: u64) -> Result<Self, ModelError> {
        let TargetAttentionConfig { width, heads, .. } = *config;
        at_least_one([
            ("width", width),
            ("longest", config.longest),
            ("heads", heads),
            ("hidden", config.hidden.iter().min().copied().unwrap_or(1)),
        ])?;
        divides(heads, width)?;
        Dropout::new(config.dropout, 0)?;
        let mut parameters = Parameters::new(seed);
        let positions = config
            .positions
            .then(|| parameters.table("positions", config.longest, width))
            .transpose()?;
        let attention = config.attention.build()?;
        let make = if config.projections {
            Mixer::new
        } else {
            Mixer::bare
        };
        let mixer = make(attention, (width, heads), "attention", &mut parameters)?;
        let read = if config.hidden.is_empty() { 2 } else { 3 };
        let sizes: Vec<usize> = [read * width]
            .iter()
            .chain(&config.hidden)
            .chain(&[1])
            .copied()
            .collect();
        let layers = sizes
            .windows(2)
            .enumerate()
            .map(|(n, sizes)| parameters.linear(&format!("layers.{n}"), sizes[0], sizes[1], 0.0));
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(Self {
            config: config.clone(),
            parameters,
            positions,
            mixer,
            layers,
        })
    }
}

impl SequenceModel for TargetAttention {
    fn width(&self) -> usize {
        self.config.width
    }

    fn longest(&self) -> usize {
        self.config.longest
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "target-attention": self.config })
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn encode(&self, _: &Tensor, _: &Tokens, _: Pass<'_>) -> Result<Tensor, ModelError> {
        Err(ModelError::NoStates)
    }

    fn candidate_model(&self) -> Option<&dyn CandidateModel> {
        Some(self)
    }
}

impl CandidateModel for TargetAttention {
    fn score(
        &self,
        items: &Tensor,
        requests: &Requests,
        pass: Pass<'_>,
    ) -> Result<Tensor, ModelError> {
        let dropout = pass
            .dropout
            .map(|seed| Dropout::new(self.config.dropout, seed))
            .transpose()?;
        let scale = (self.config.width as f32).sqrt();
        let embed = |ids| Embed::new(pass.engine, ids).with_scale(scale);
        let drop = dropout.map_or(Drop::NONE, |dropout| Drop::new(dropout, 0));
        let events = embed(requests.histories.ids.clone()).with_drop(drop);
        let events = match &self.positions {
            Some(table) => events.forward_at(items, table, requests.histories.places.clone())?,
            None => events.forward(items)?,
        };
        let candidates = embed(requests.candidates.clone()).forward(items)?;
        let layout = requests.layout();
        let interest = self
            .mixer
            .read(&candidates, &events, layout, pass, dropout)?;
        let product = (&interest * &candidates)?;
        let affine = Affine::new(pass.engine);
        if self.config.hidden.is_empty() {
            let biases = Tensor::cat(&[&interest, &candidates], 1)?;
            let biases = affine.forward(&biases, &self.layers[0])?;
            return Ok((product.sum_keepdim(1)? + biases)?.flatten_all()?);
        }
        let mut x = Tensor::cat(&[&interest, &candidates, &product], 1)?;
        for (n, layer) in self.layers.iter().enumerate() {
            let last = n + 1 == self.layers.len();
            let activation = if last {
                Activation::Identity
            } else {
                Activation::Relu
            };
            x = affine
                .clone()
                .with_activation(activation)
                .forward(&x, layer)?;
        }
        Ok(x.flatten_all()?)
    }
}
