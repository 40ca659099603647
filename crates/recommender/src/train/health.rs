//! Where gradients are, and where they vanish: their norms, tensor by tensor and block by block.

use super::error::TrainError;
use super::gradients::Gradients;
use super::ratings::in_units;
use super::trainer::Trainer;
use crate::prepare::History;

/// A learned tensor, or a block of them, and the gradient that a step would follow.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LayerHealth {
    /// The tensor's name, `blocks.0.inner`, or the block's, `blocks.0`.
    pub name: String,
    /// The Euclidean norm of the gradient, before clipping.
    pub gradient: f64,
    /// The Euclidean norm of what is learned.
    pub size: f64,
}

impl LayerHealth {
    /// The gradient's norm over that of what is learned: how fast it could change for its size; 0 without a
    /// gradient.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        if self.gradient == 0.0 {
            return 0.0;
        }
        self.gradient / self.size
    }

    /// The blocks of a model, from the first to the last: the norms of all tensors named `blocks.N.…` together.
    #[must_use]
    pub fn blocks(tensors: &[Self]) -> Vec<Self> {
        let mut blocks: Vec<Self> = Vec::new();
        for tensor in tensors {
            let mut parts = tensor.name.splitn(3, '.');
            let (Some("blocks"), Some(n), Some(_)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let name = format!("blocks.{n}");
            match blocks.iter_mut().find(|block| block.name == name) {
                Some(block) => {
                    block.gradient = block.gradient.hypot(tensor.gradient);
                    block.size = block.size.hypot(tensor.size);
                }
                None => blocks.push(Self {
                    name,
                    ..tensor.clone()
                }),
            }
        }
        blocks
    }
}

impl Trainer {
    /// The gradient that the next step would follow if these histories were its batch, with dropout as it would
    /// be: of the item vectors first, then of the model's parameters in their order. Nothing is learned.
    ///
    /// Cost: that of a step.
    ///
    /// # Errors
    /// As for [`step_on`](Self::step_on).
    ///
    /// ```
    /// use attention::Workers;
    /// use attention_candle::Engine;
    /// use recommender::model::{SasRec, SasRecConfig};
    /// use recommender::train::{LayerHealth, TrainConfig, Trainer};
    ///
    /// let model = SasRec::new(&SasRecConfig { width: 16, longest: 8, ..SasRecConfig::default() }, 1)?;
    /// let engine = Engine::new(Workers::serial());
    /// let trainer = Trainer::new(Box::new(model), 20, TrainConfig::default(), engine)?;
    /// let histories: [&[u32]; 2] = [&[3, 1, 4, 1, 5], &[9, 2, 6]];
    /// let blocks = LayerHealth::blocks(&trainer.health(&histories)?);
    /// assert_eq!(blocks.len(), 2);
    /// assert!(blocks.iter().all(|block| block.ratio() > 0.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn health<'h, H: Copy + Into<History<'h>>>(
        &self,
        histories: &[H],
    ) -> Result<Vec<LayerHealth>, TrainError> {
        let batch = self.learnable(histories)?;
        let units = self.units(&batch)?;
        let mut gradients = Gradients::new(&self.learned, self.model.width());
        self.slope(&in_units(&batch, &units), &mut gradients)?;
        let tensors = self.names.iter().zip(&self.learned).enumerate();
        tensors
            .map(|(n, (name, var))| {
                Ok(LayerHealth {
                    name: name.clone(),
                    gradient: norm(gradients.of(n)),
                    size: norm(&attention_candle::floats(var)?),
                })
            })
            .collect::<candle_core::Result<_>>()
            .map_err(TrainError::from)
    }
}

fn norm(values: &[f32]) -> f64 {
    let squares = values.iter().map(|x| f64::from(*x) * f64::from(*x));
    squares.sum::<f64>().sqrt()
}
