//! SASRec: causal self-attention over a history (Kang & McAuley, ICDM 2018).

use super::cache::{At, LayerCache, Stack, stack_cache};
use super::error::{at_least_one, divides};
use super::mixer::{AttentionConfig, Mixer};
use super::{Cache, ModelError, Parameters, Pass, Positions, SequenceModel, Tokens};
use attention::dropout::Dropout;
use attention_candle::{Activation, Affine, Drop, Embed, layer_norm};
use candle_core::{Tensor, Var};

/// Where a block normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// As the authors' code does: queries are normalised, keys and values are not, and residuals begin at the
    /// normalised input.
    #[default]
    Original,
    /// Before each part, the residual passing by (Xiong et al. 2020).
    Pre,
    /// Behind each sum (Vaswani et al. 2017).
    Post,
}

/// The settings of a [`SasRec`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SasRecConfig {
    /// The length D of item vectors and states.
    pub width: usize,
    /// The most recent events that it looks at.
    pub longest: usize,
    /// Blocks of attention and feed-forward layer.
    pub blocks: usize,
    /// Heads, which divide the width.
    pub heads: usize,
    /// Width of the hidden layer, as a multiple of D.
    pub hidden: usize,
    /// Share of activations and attention weights dropped in training.
    pub dropout: f32,
    /// Where it normalises.
    pub norm: Norm,
    /// How its positions are counted.
    #[serde(skip_serializing_if = "Positions::is_default")]
    pub positions: Positions,
    /// Its attention.
    pub attention: AttentionConfig,
}

impl Default for SasRecConfig {
    /// The authors' for ml-1m.
    fn default() -> Self {
        Self {
            width: 50,
            longest: 200,
            blocks: 2,
            heads: 1,
            hidden: 1,
            dropout: 0.2,
            norm: Norm::Original,
            positions: Positions::FromLatest,
            attention: AttentionConfig::default(),
        }
    }
}

/// Item vectors and places, blocks of causal self-attention and a feed-forward layer, a final layer norm.
pub struct SasRec {
    config: SasRecConfig,
    parameters: Parameters,
    positions: Var,
    blocks: Vec<Block>,
    last: Option<Var>,
}

struct Block {
    mixer: Mixer,
    norms: [Var; 2],
    inner: Var,
    outer: Var,
}

/// Of the authors' code, where variances of a sparse beginning are small.
const EPSILON: f32 = 1e-8;

impl SasRec {
    /// A model that begins by a seed.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for sizes that cannot be, and what the registry says of the attention.
    pub fn new(config: &SasRecConfig, seed: u64) -> Result<Self, ModelError> {
        let SasRecConfig {
            width,
            longest,
            heads,
            hidden,
            ..
        } = *config;
        at_least_one([
            ("width", width),
            ("longest", longest),
            ("heads", heads),
            ("hidden", hidden),
        ])?;
        divides(heads, width)?;
        Dropout::new(config.dropout, 0)?;
        let mut parameters = Parameters::new(seed);
        let positions = parameters.table("positions", longest, width)?;
        let attention = config.attention.build()?;
        let mut blocks = Vec::new();
        for n in 0..config.blocks {
            let name = |part: &str| format!("blocks.{n}.{part}");
            blocks.push(Block {
                mixer: Mixer::new(
                    attention.clone(),
                    (width, heads),
                    &name("attention"),
                    &mut parameters,
                )?,
                norms: [
                    parameters.norm(&name("norm1"), width)?,
                    parameters.norm(&name("norm2"), width)?,
                ],
                inner: parameters.linear(&name("inner"), width, hidden * width, 0.0)?,
                outer: parameters.linear(&name("outer"), hidden * width, width, 0.0)?,
            });
        }
        let last = match config.norm {
            Norm::Post => None,
            Norm::Original | Norm::Pre => Some(parameters.norm("norm", width)?),
        };
        Ok(Self {
            config: config.clone(),
            parameters,
            positions,
            blocks,
            last,
        })
    }
}

impl SequenceModel for SasRec {
    fn width(&self) -> usize {
        self.config.width
    }

    fn longest(&self) -> usize {
        self.config.longest
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "sasrec": self.config })
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn encode(
        &self,
        items: &Tensor,
        tokens: &Tokens,
        pass: Pass<'_>,
    ) -> Result<Tensor, ModelError> {
        let tokens = self.config.positions.of(tokens);
        self.run(items, &tokens, &mut [], pass)
    }

    fn cache(&self) -> Result<Box<dyn Cache + '_>, ModelError> {
        stack_cache(self)
    }
}

impl Stack for SasRec {
    fn positions(&self) -> Positions {
        self.config.positions
    }

    fn mixers(&self) -> impl Iterator<Item = &Mixer> {
        self.blocks.iter().map(|block| &block.mixer)
    }

    fn run(
        &self,
        items: &Tensor,
        tokens: &Tokens,
        caches: &mut [LayerCache],
        pass: Pass<'_>,
    ) -> Result<Tensor, ModelError> {
        let dropout = pass
            .dropout
            .map(|seed| Dropout::new(self.config.dropout, seed))
            .transpose()?;
        let mut x = Embed::new(pass.engine, tokens.ids.clone())
            .with_scale((self.config.width as f32).sqrt())
            .with_drop(site(dropout, 0))
            .forward_at(items, &self.positions, tokens.places.clone())?;
        for (n, block) in self.blocks.iter().enumerate() {
            let at = At::events(tokens, caches.get_mut(n));
            x = block.forward(&x, n, at, pass, dropout, self.config.norm)?;
        }
        match &self.last {
            Some(last) => Ok(layer_norm(pass.engine, &x, last, EPSILON)?),
            None => Ok(x),
        }
    }
}

/// Dropout at one place of the model.
fn site(dropout: Option<Dropout>, site: usize) -> Drop {
    dropout.map_or(Drop::NONE, |dropout| Drop::new(dropout, site))
}

impl Block {
    fn forward(
        &self,
        x: &Tensor,
        n: usize,
        at: At<'_>,
        pass: Pass<'_>,
        dropout: Option<Dropout>,
        norm: Norm,
    ) -> Result<Tensor, ModelError> {
        let first = 1 + 2 * n;
        let normalised =
            |x: &Tensor, which: usize| layer_norm(pass.engine, x, &self.norms[which], EPSILON);
        // Attention weights and activations draw from seeds of their own.
        let weights = dropout
            .map(|d| {
                Dropout::new(
                    d.rate(),
                    d.seed().wrapping_add(1 + n as u64).rotate_left(32),
                )
            })
            .transpose()?;
        let mix = |residual: &Tensor, x: &Tensor, memory: &Tensor| {
            self.mixer.forward(residual, x, memory, at, pass, weights)
        };
        let feed = |residual: &Tensor, x: &Tensor| {
            let inner = Affine::new(pass.engine)
                .with_activation(Activation::Relu)
                .with_drop(site(dropout, first));
            let outer = Affine::new(pass.engine).with_drop(site(dropout, first + 1));
            outer.forward_onto(residual, &inner.forward(x, &self.inner)?, &self.outer)
        };
        Ok(match norm {
            Norm::Original => {
                let queries = normalised(x, 0)?;
                let mixed = mix(&queries, &queries, x)?;
                let inner = normalised(&mixed, 1)?;
                feed(&inner, &inner)?
            }
            Norm::Pre => {
                let inner = normalised(x, 0)?;
                let mixed = mix(x, &inner, &inner)?;
                feed(&mixed, &normalised(&mixed, 1)?)?
            }
            Norm::Post => {
                let mixed = normalised(&mix(x, x, x)?, 0)?;
                normalised(&feed(&mixed, &mixed)?, 1)?
            }
        })
    }
}
