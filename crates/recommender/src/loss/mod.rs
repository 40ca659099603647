//! What training asks of a state: that the next item's logit be high, and that of others low.

mod negatives;

pub use negatives::Negatives;

use crate::model::ModelError;
use attention_candle::{Engine, Objective, SKIP, gather, sampled_loss, softmax_loss};
use candle_core::Tensor;
use std::sync::Arc;

/// A loss of next-item prediction.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Loss {
    /// Binary cross-entropy against sampled negatives that the user has not met (Kang & McAuley 2018, equation
    /// 6: one negative).
    Bce {
        /// Negatives a position.
        negatives: usize,
    },
    /// Generalised binary cross-entropy (Petrov & Macdonald, RecSys 2023, equations 13 and 19).
    Gbce {
        /// Negatives a position.
        negatives: usize,
        /// From 0 (plain binary cross-entropy) to 1 (calibrated probabilities).
        calibration: f32,
    },
    /// Cross-entropy over the next item and sampled negatives (Klenitskiy & Vasilev, RecSys 2023, section 3).
    SampledSoftmax {
        /// Negatives a position.
        negatives: usize,
    },
    /// Cross-entropy over the catalogue.
    Softmax,
    /// Squared error of the logit against the rating, which training brings to mean 0 and deviation 1
    /// ([`RatingScale`](crate::train::RatingScale)).
    Mse,
}

impl Default for Loss {
    fn default() -> Self {
        Self::Bce { negatives: 1 }
    }
}

/// What the states of some positions are compared with: rows of a table of item vectors.
#[derive(Debug, Clone, Default)]
pub struct Goals {
    /// `[T]`, or `[T, 1 + negatives]` where negatives are sampled; [`attention_candle::SKIP`] where a position
    /// does not count.
    pub rows: Arc<[u32]>,
    /// `[T]`, of the positions' items, where the loss is of ratings.
    pub ratings: Arc<[f32]>,
}

impl Loss {
    /// Negatives a position.
    #[must_use]
    pub fn negatives(&self) -> usize {
        match *self {
            Self::Bce { negatives }
            | Self::Gbce { negatives, .. }
            | Self::SampledSoftmax { negatives } => negatives,
            Self::Softmax | Self::Mse => 0,
        }
    }

    /// Whether it compares with a few items drawn beside the one chosen.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        !matches!(self, Self::Softmax | Self::Mse)
    }

    /// Whether it needs ratings.
    #[must_use]
    pub fn is_of_ratings(&self) -> bool {
        matches!(self, Self::Mse)
    }

    /// Whether it compares with the whole catalogue.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Softmax)
    }

    /// Whether negatives must be items that the user has not met, as the authors of SASRec have it.
    #[must_use]
    pub fn avoids_seen(&self) -> bool {
        matches!(self, Self::Bce { .. })
    }

    /// The loss of states `[T, D]`, summed over positions and multiplied by `factor`, in a catalogue of
    /// `catalogue` items.
    ///
    /// # Errors
    /// [`ModelError::Op`] where states and goals do not fit.
    pub fn of(
        &self,
        engine: &Engine,
        states: &Tensor,
        items: &Tensor,
        goals: &Goals,
        catalogue: usize,
        factor: f32,
    ) -> Result<Tensor, ModelError> {
        let sampled =
            |objective| sampled_loss(engine, states, items, goals.rows.clone(), objective, factor);
        Ok(match *self {
            Self::Softmax => softmax_loss(engine, states, items, goals.rows.clone(), factor)?,
            Self::Bce { .. } => sampled(Objective::BinaryCrossEntropy { beta: 1.0 })?,
            Self::Gbce {
                negatives,
                calibration,
            } => {
                // Equation 19, α being the share of negatives that is sampled.
                let share = negatives as f32 / (catalogue.max(2) - 1) as f32;
                let beta = share * (calibration * (1.0 - 1.0 / share) + 1.0 / share);
                sampled(Objective::BinaryCrossEntropy { beta })?
            }
            Self::SampledSoftmax { .. } => sampled(Objective::Softmax)?,
            Self::Mse => squared_error(engine, states, items, goals, factor)?,
        })
    }
}

fn squared_error(
    engine: &Engine,
    states: &Tensor,
    items: &Tensor,
    goals: &Goals,
    factor: f32,
) -> Result<Tensor, ModelError> {
    let counted = (0u32..)
        .zip(goals.rows.iter().zip(&*goals.ratings))
        .filter(|(_, (row, _))| **row != SKIP);
    let (mut positions, mut rows, mut ratings) = (Vec::new(), Vec::new(), Vec::new());
    for (position, (row, rating)) in counted {
        positions.push(position);
        rows.push(*row);
        ratings.push(*rating);
    }
    let product = (gather(engine, states, positions)? * gather(engine, items, rows)?)?;
    let ratings = Tensor::new(ratings, states.device())?;
    let errors = (product.sum(1)? - ratings)?;
    Ok((errors.sqr()?.sum_all()? * f64::from(factor))?)
}
