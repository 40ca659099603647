//! GRU4Rec: gated recurrent units over a history (Hidasi et al., ICLR 2016).

use super::error::at_least_one;
use super::{Cache, ModelError, Parameters, Pass, SequenceModel, Tokens};
use attention::dropout::Dropout;
use attention_candle::{Affine, Drop, Embed, gru, gru_step};
use candle_core::{DType, Device, Tensor, Var};

/// The settings of a [`Gru4Rec`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gru4RecConfig {
    /// The length D of item vectors and states.
    pub width: usize,
    /// The most recent events that it looks at.
    pub longest: usize,
    /// Units a layer.
    pub hidden: usize,
    /// Layers of units, each reading the one below.
    pub layers: usize,
    /// Share of the item vectors' entries dropped in training.
    pub dropout: f32,
}

impl Default for Gru4RecConfig {
    /// RecBole's for its GRU4Rec, with the history length of SASRec's authors for ml-1m.
    fn default() -> Self {
        Self {
            width: 64,
            longest: 200,
            hidden: 128,
            layers: 1,
            dropout: 0.3,
        }
    }
}

/// Item vectors, layers of gated recurrent units, and a linear layer back to the width of item vectors.
///
/// This is the form that today's baselines have: states are compared with the item vectors that go in, trained
/// on whole histories by any [`Loss`](crate::loss::Loss), where Hidasi et al. have one-hot inputs, an output matrix of
/// its own and session-parallel batches.
///
/// ```
/// use attention::Workers;
/// use attention_candle::Engine;
/// use recommender::model::{Gru4Rec, Gru4RecConfig};
/// use recommender::train::{TrainConfig, Trainer};
///
/// let histories: Vec<Vec<u32>> = (0..40).map(|user| (0..8).map(|t| (user + t) % 20).collect()).collect();
/// let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
/// let model = Gru4Rec::new(&Gru4RecConfig { width: 16, hidden: 16, ..Gru4RecConfig::default() }, 1)?;
/// let config = TrainConfig { batch: 8, ..TrainConfig::default() };
/// let mut trainer = Trainer::new(Box::new(model), 20, config, Engine::new(Workers::new(2)?))?;
/// let first = trainer.epoch(&histories)?;
/// let fifth = (0..4).map(|_| trainer.epoch(&histories)).last().transpose()?;
/// assert!(fifth.is_some_and(|report| report.loss < first.loss));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Gru4Rec {
    config: Gru4RecConfig,
    parameters: Parameters,
    layers: Vec<Layer>,
    output: Var,
}

/// Linear layers to the three gates: from the layer below, and from the state before.
struct Layer {
    input: Var,
    recurrent: Var,
}

impl Gru4Rec {
    /// A model that begins by a seed.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for sizes that cannot be.
    pub fn new(config: &Gru4RecConfig, seed: u64) -> Result<Self, ModelError> {
        let Gru4RecConfig { width, hidden, .. } = *config;
        at_least_one([
            ("width", width),
            ("longest", config.longest),
            ("hidden", hidden),
            ("layers", config.layers),
        ])?;
        Dropout::new(config.dropout, 0)?;
        let mut parameters = Parameters::new(seed);
        let mut layers = Vec::new();
        for n in 0..config.layers {
            let below = if n == 0 { width } else { hidden };
            let mut linear = |part: &str, inputs: usize| {
                parameters.linear(&format!("layers.{n}.{part}"), inputs, 3 * hidden, 0.0)
            };
            layers.push(Layer {
                input: linear("input", below)?,
                recurrent: linear("recurrent", hidden)?,
            });
        }
        let output = parameters.linear("output", hidden, width, 0.0)?;
        Ok(Self {
            config: config.clone(),
            parameters,
            layers,
            output,
        })
    }
}

impl SequenceModel for Gru4Rec {
    fn width(&self) -> usize {
        self.config.width
    }

    fn longest(&self) -> usize {
        self.config.longest
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "gru4rec": self.config })
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
        let drop = match pass.dropout {
            Some(seed) => Drop::new(Dropout::new(self.config.dropout, seed)?, 0),
            None => Drop::NONE,
        };
        let affine = Affine::new(pass.engine);
        let mut x = Embed::new(pass.engine, tokens.ids.clone())
            .with_drop(drop)
            .forward(items)?;
        for layer in &self.layers {
            let inputs = affine.forward(&x, &layer.input)?;
            let offsets = tokens.offsets.clone();
            x = gru(pass.engine, &inputs, &layer.recurrent, offsets)?;
        }
        Ok(affine.forward(&x, &self.output)?)
    }

    fn cache(&self) -> Result<Box<dyn Cache + '_>, ModelError> {
        let none = Tensor::zeros((1, self.config.hidden), DType::F32, &Device::Cpu)?;
        Ok(Box::new(States {
            model: self,
            layers: vec![none; self.layers.len()],
        }))
    }
}

/// What the units hold behind an event: `[1, H]` a layer.
struct States<'m> {
    model: &'m Gru4Rec,
    layers: Vec<Tensor>,
}

impl Cache for States<'_> {
    /// Any number of events at any time, each in the same time.
    fn observe(
        &mut self,
        items: &Tensor,
        events: &[u32],
        pass: Pass<'_>,
    ) -> Result<Tensor, ModelError> {
        let affine = Affine::new(pass.engine);
        let x = Embed::new(pass.engine, events).forward(items)?;
        let mut states = Vec::with_capacity(events.len());
        for t in 0..events.len() {
            let mut x = x.narrow(0, t, 1)?;
            for (layer, state) in self.model.layers.iter().zip(&mut self.layers) {
                let inputs = affine.forward(&x, &layer.input)?;
                *state = gru_step(&inputs, &layer.recurrent, state)?;
                x = state.clone();
            }
            states.push(x);
        }
        Ok(affine.forward(&Tensor::cat(&states, 0)?, &self.model.output)?)
    }

    fn bytes(&self) -> u64 {
        4 * (self.model.config.hidden * self.layers.len()) as u64
    }
}
