//! Sequence models: from the items of histories to a state at every event, which scores the next item.
//!
//! A model sees item vectors, not item numbers: a table of just those that its histories hold, so that the
//! gradient of a step is as large as the step and not as the catalogue. Histories lie end to end
//! ([`Tokens`]); padding, where it is wanted, is a matter of who makes the tokens.

mod error;
mod hstu;
mod mixer;
mod parameters;
mod sasrec;
mod scorer;
mod tokens;

pub use error::ModelError;
pub use hstu::{Hstu, HstuConfig};
pub use mixer::AttentionConfig;
pub use parameters::Parameters;
pub use sasrec::{Norm, SasRec, SasRecConfig};
pub use scorer::Scorer;
pub use tokens::Tokens;

use attention_candle::Engine;
use candle_core::Tensor;

/// How a model is run.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// Who computes.
    pub engine: &'a Engine,
    /// The seed of its dropout: there in training, absent where the model is used.
    pub dropout: Option<u64>,
}

/// A model that gives a state for every event of some histories.
pub trait SequenceModel: Send + Sync {
    /// The length of states and item vectors.
    fn width(&self) -> usize;

    /// The most events of a history that it looks at.
    fn longest(&self) -> usize;

    /// Its settings, by which checkpoints know it again.
    fn settings(&self) -> serde_json::Value;

    /// What it learns beside the item vectors.
    fn parameters(&self) -> &Parameters;

    /// States `[T, D]` of the histories in `tokens`, whose ids are rows of `items` `[U, D]`: state t knows the
    /// events of its own history up to t. A state's product with an item's [`compared`](Self::compared) vector is
    /// the item's logit.
    ///
    /// # Errors
    /// [`ModelError`] where an op or the attention refuses.
    fn encode(&self, items: &Tensor, tokens: &Tokens, pass: Pass<'_>)
    -> Result<Tensor, ModelError>;

    /// Item vectors as states are compared with them: rows of `items`, or what the model makes of them.
    ///
    /// # Errors
    /// candle's.
    fn compared(&self, items: &Tensor) -> Result<Tensor, ModelError> {
        Ok(items.clone())
    }
}
