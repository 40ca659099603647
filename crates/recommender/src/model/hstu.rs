//! HSTU: gated blocks of pointwise attention (Zhai et al., Actions Speak Louder than Words, ICML 2024).

use super::cache::{At, LayerCache, Stack, stack_cache};
use super::mixer::{AttentionConfig, Mixer};
use super::{Cache, ModelError, Parameters, Pass, Positions, SequenceModel, Tokens};
use attention::dropout::Dropout;
use attention_candle::{
    Activation, Affine, Drop, Embed, Engine, gated_norm, layer_norm, unit_rows,
};
use candle_core::{DType, Device, Tensor, Var};

/// The settings of an [`Hstu`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HstuConfig {
    /// The length D of item vectors and states.
    pub width: usize,
    /// The most recent events that it looks at.
    pub longest: usize,
    /// Blocks.
    pub blocks: usize,
    /// Heads of each block.
    pub heads: usize,
    /// The length of a head's queries, keys, values and gates.
    pub head_width: usize,
    /// Share of activations dropped in training: of the input, and of what each block's last layer gets.
    pub dropout: f32,
    /// Share of attention weights dropped in training, where the attention can.
    pub attention_dropout: f32,
    /// Whether scores are divided by √head_width.
    pub scaled: bool,
    /// τ of logits that are cos(state, item)/τ; with 0 they are plain products.
    pub temperature: f32,
    /// How its positions are counted.
    #[serde(skip_serializing_if = "Positions::is_default")]
    pub positions: Positions,
    /// Its attention; left out it is HSTU's own, with a bias for each of the `longest` distances and weights
    /// divided by `longest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<AttentionConfig>,
}

impl Default for HstuConfig {
    /// The authors' for ml-1m (`configs/ml-1m/hstu-sampled-softmax-n128-final.gin` in
    /// github.com/meta-recsys/generative-recommenders), which they train by sampled softmax with 128 negatives.
    fn default() -> Self {
        Self {
            width: 50,
            longest: 200,
            blocks: 2,
            heads: 1,
            head_width: 50,
            dropout: 0.2,
            attention_dropout: 0.0,
            scaled: false,
            temperature: 0.05,
            positions: Positions::FromLatest,
            attention: None,
        }
    }
}

/// Item vectors times √D and places, then blocks y = x + drop(LN(A·V) ∘ U)·W, where U, V, Q and K are
/// SiLU(LN(x)·W') (equations 1 to 3). Layer norms are without gain and shift, as in the authors' code.
///
/// Time of a block: its attention's, and 10·heads·head_width·D flops an event.
///
/// ```
/// use attention::Workers;
/// use attention_candle::Engine;
/// use recommender::model::{Hstu, HstuConfig, Parameters, Pass, SequenceModel, Tokens};
///
/// let config = HstuConfig { width: 16, longest: 8, head_width: 16, ..HstuConfig::default() };
/// let model = Hstu::new(&config, 1)?;
/// let items = Parameters::new(1).table("items", 20, 16)?;
/// let tokens = Tokens::new([&[3, 1, 4][..], &[1, 5][..]], 8);
/// let engine = Engine::new(Workers::serial());
/// let states = model.encode(&items, &tokens, Pass { engine: &engine, dropout: None, watch: None })?;
/// assert_eq!(states.dims(), [5, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hstu {
    config: HstuConfig,
    parameters: Parameters,
    positions: Var,
    blocks: Vec<Block>,
}

struct Block {
    /// A gain of ones and a shift of zeros.
    plain: Tensor,
    /// Of gates, values, queries and keys.
    projections: [Var; 4],
    mixer: Mixer,
    output: Var,
}

/// Of the authors' layer norms and norms.
const EPSILON: f32 = 1e-6;

/// The deviation with which projections to U, V, Q and K begin, of the authors' code.
const DEVIATION: f32 = 0.02;

impl Hstu {
    /// A model that begins by a seed.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for settings that cannot be, and what the registry says of the attention.
    pub fn new(config: &HstuConfig, seed: u64) -> Result<Self, ModelError> {
        config.check()?;
        let (width, inner) = (config.width, config.heads * config.head_width);
        let mut parameters = Parameters::new(seed);
        let positions = parameters.table("positions", config.longest, width)?;
        let attention = config.attention().build()?;
        let gain = Tensor::ones((1, width), DType::F32, &Device::Cpu)?;
        let plain = Tensor::cat(&[&gain, &gain.zeros_like()?], 0)?;
        let mut blocks = Vec::new();
        for n in 0..config.blocks {
            let name = |part: &str| format!("blocks.{n}.{part}");
            let mut project =
                |part: &str| parameters.linear_of(&name(part), (width, inner), DEVIATION, 0.0);
            let projections = [
                project("gate")?,
                project("value")?,
                project("query")?,
                project("key")?,
            ];
            blocks.push(Block {
                plain: plain.clone(),
                projections,
                mixer: Mixer::bare(
                    attention.clone(),
                    (inner, config.heads),
                    &name("attention"),
                    &mut parameters,
                )?,
                output: parameters.linear(&name("output"), inner, width, 0.0)?,
            });
        }
        Ok(Self {
            config: config.clone(),
            parameters,
            positions,
            blocks,
        })
    }

    /// cos(·, ·)/τ as a product: rows of unit length, those of states divided by τ.
    fn similar(&self, rows: &Tensor, factor: f32, engine: &Engine) -> Result<Tensor, ModelError> {
        if self.config.temperature == 0.0 {
            return Ok(rows.clone());
        }
        Ok(unit_rows(engine, rows, factor, EPSILON)?)
    }
}

impl HstuConfig {
    fn check(&self) -> Result<(), ModelError> {
        let fault = |setting, value: String, expected| ModelError::Setting {
            setting,
            value,
            expected,
        };
        let sizes = [
            ("width", self.width),
            ("longest", self.longest),
            ("heads", self.heads),
            ("head_width", self.head_width),
        ];
        for (setting, value) in sizes {
            if value == 0 {
                return Err(fault(setting, "0".into(), "at least 1"));
            }
        }
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            let expected = "a temperature above 0, or 0 for plain products";
            return Err(fault("temperature", self.temperature.to_string(), expected));
        }
        Dropout::new(self.dropout, 0)?;
        Dropout::new(self.attention_dropout, 0)?;
        Ok(())
    }

    fn attention(&self) -> AttentionConfig {
        let longest = self.longest.to_string();
        let own = || AttentionConfig {
            variant: "hstu".into(),
            parameters: [("positions", &longest), ("length", &longest)]
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .into(),
        };
        self.attention.clone().unwrap_or_else(own)
    }
}

impl SequenceModel for Hstu {
    fn width(&self) -> usize {
        self.config.width
    }

    fn longest(&self) -> usize {
        self.config.longest
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "hstu": self.config })
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

    fn compared(&self, items: &Tensor, engine: &Engine) -> Result<Tensor, ModelError> {
        self.similar(items, 1.0, engine)
    }

    fn cache(&self) -> Result<Box<dyn Cache + '_>, ModelError> {
        stack_cache(self)
    }
}

impl Stack for Hstu {
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
        let site = |n: usize| -> Result<Drop, ModelError> {
            let drop = |seed| Ok(Drop::new(Dropout::new(self.config.dropout, seed)?, n));
            pass.dropout.map_or(Ok(Drop::NONE), drop)
        };
        let mut x = Embed::new(pass.engine, tokens.ids.clone())
            .with_scale((self.config.width as f32).sqrt())
            .with_drop(site(0)?)
            .forward_at(items, &self.positions, tokens.places.clone())?;
        for (n, block) in self.blocks.iter().enumerate() {
            // Attention weights draw from seeds of their own.
            let weights = |seed: u64| {
                let seed = seed.wrapping_add(1 + n as u64).rotate_left(32);
                Dropout::new(self.config.attention_dropout, seed)
            };
            let weights = pass.dropout.map(weights).transpose()?;
            let at = At::events(tokens, caches.get_mut(n));
            x = block.forward(&x, &self.config, at, pass, (weights, site(1 + n)?))?;
        }
        self.similar(&x, 1.0 / self.config.temperature, pass.engine)
    }
}

impl Block {
    fn forward(
        &self,
        x: &Tensor,
        config: &HstuConfig,
        at: At<'_>,
        pass: Pass<'_>,
        (weights, drop): (Option<Dropout>, Drop),
    ) -> Result<Tensor, ModelError> {
        let inner = layer_norm(pass.engine, x, &self.plain, EPSILON)?;
        let silu = Affine::new(pass.engine).with_activation(Activation::Silu);
        let [gate, value, query, key] = &self.projections;
        let u = silu.forward(&inner, gate)?;
        let v = silu.forward(&inner, value)?;
        let k = silu.forward(&inner, key)?;
        // Variants divide by the root themselves.
        let factor = if config.scaled {
            1.0
        } else {
            (config.head_width as f32).sqrt()
        };
        let q = silu.with_factor(factor).forward(&inner, query)?;
        let o = self.mixer.weigh([&q, &k, &v], &v, at, pass, weights)?;
        let gated = gated_norm(pass.engine, &o, &u, EPSILON, drop)?;
        Ok(Affine::new(pass.engine).forward_onto(x, &gated, &self.output)?)
    }
}
