//! NextItNet: dilated causal convolutions over a history (Yuan et al., WSDM 2019).

use super::error::at_least_one;
use super::{ModelError, Parameters, Pass, SequenceModel, Tokens};
use attention_candle::{Activation, Affine, LayerNorm, gather, unfold_causal};
use candle_core::{Tensor, Var};

/// The settings of a [`NextItNet`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NextItNetConfig {
    /// The length D of item vectors and states, and the channels of every convolution.
    pub width: usize,
    /// The most recent events that it looks at.
    pub longest: usize,
    /// Events that a convolution reads.
    pub kernel: usize,
    /// A residual block for each: its first convolution has this dilation, its second twice as much.
    pub dilations: Vec<usize>,
}

impl Default for NextItNetConfig {
    /// The authors' code: 100 channels, kernel 3, dilations 1, 2, 4, 8, which RecBole has five times over. They are
    /// here three times over: 91 events are seen. The history length is that of SASRec's authors for ml-1m.
    fn default() -> Self {
        Self {
            width: 100,
            longest: 200,
            kernel: 3,
            dilations: [1, 4].repeat(3),
        }
    }
}

/// Item vectors, and residual blocks of two dilated causal convolutions (figure 3b of the paper), each followed
/// by a layer norm and max(x, 0).
///
/// A state sees 1 + 3·(kernel - 1)·Σ dilations events; nothing else tells the places of events apart. States are
/// compared with the item vectors that go in, where the authors have an output matrix of its own.
///
/// ```
/// use attention::Workers;
/// use attention_candle::Engine;
/// use recommender::model::{NextItNet, NextItNetConfig};
/// use recommender::train::{TrainConfig, Trainer};
///
/// let histories: Vec<Vec<u32>> = (0..40).map(|user| (0..8).map(|t| (user + t) % 20).collect()).collect();
/// let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
/// let settings = NextItNetConfig { width: 16, dilations: vec![1], ..NextItNetConfig::default() };
/// let config = TrainConfig { batch: 8, ..TrainConfig::default() };
/// let model = Box::new(NextItNet::new(&settings, 1)?);
/// let mut trainer = Trainer::new(model, 20, config, Engine::new(Workers::new(2)?))?;
/// let first = trainer.epoch(&histories)?;
/// let fifth = (0..4).map(|_| trainer.epoch(&histories)).last().transpose()?;
/// assert!(fifth.is_some_and(|report| report.loss < first.loss));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NextItNet {
    config: NextItNetConfig,
    parameters: Parameters,
    blocks: Vec<[Convolution; 2]>,
}

struct Convolution {
    dilation: usize,
    weight: Var,
    norm: Var,
}

/// Of the authors' code.
const EPSILON: f32 = 1e-8;

impl NextItNet {
    /// A model that begins by a seed.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for sizes that cannot be.
    pub fn new(config: &NextItNetConfig, seed: u64) -> Result<Self, ModelError> {
        let NextItNetConfig { width, kernel, .. } = *config;
        let least = config.dilations.iter().min().copied().unwrap_or(1);
        at_least_one([
            ("width", width),
            ("longest", config.longest),
            ("kernel", kernel),
            ("dilations", least),
        ])?;
        let mut parameters = Parameters::new(seed);
        let mut blocks = Vec::new();
        for (n, dilation) in config.dilations.iter().enumerate() {
            let mut convolution = |part: usize| {
                let name = format!("blocks.{n}.{part}");
                Ok::<_, ModelError>(Convolution {
                    dilation: dilation.saturating_mul(part),
                    weight: parameters.linear(&name, kernel * width, width, 0.0)?,
                    norm: parameters.norm(&format!("{name}.norm"), width)?,
                })
            };
            blocks.push([convolution(1)?, convolution(2)?]);
        }
        Ok(Self {
            config: config.clone(),
            parameters,
            blocks,
        })
    }
}

impl SequenceModel for NextItNet {
    fn width(&self) -> usize {
        self.config.width
    }

    fn longest(&self) -> usize {
        self.config.longest
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "nextitnet": self.config })
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
        let mut x = gather(pass.engine, items, tokens.ids.clone())?;
        let norm = LayerNorm::new(pass.engine, EPSILON).with_activation(Activation::Relu);
        for [first, second] in &self.blocks {
            let sums = |layer: &Convolution, x: &Tensor| -> Result<Tensor, ModelError> {
                let (kernel, offsets) = (self.config.kernel, tokens.offsets.clone());
                let read = unfold_causal(pass.engine, x, offsets, kernel, layer.dilation)?;
                Ok(Affine::new(pass.engine).forward(&read, &layer.weight)?)
            };
            let inner = norm.forward(&sums(first, &x)?, &first.norm)?;
            x = norm.forward_onto(&x, &sums(second, &inner)?, &second.norm)?;
        }
        Ok(x)
    }
}
