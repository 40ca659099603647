//! Sequence models: from the items of histories to a state at every event, which scores the next item; and
//! candidate models, which read a history anew for every item that they score.
//!
//! A model sees item vectors, not item numbers: a table of just those that its histories hold, so that the
//! gradient of a step is as large as the step and not as the catalogue. Histories lie end to end
//! ([`Tokens`]); padding, where it is wanted, is a matter of who makes the tokens.

mod cache;
mod candidates;
mod config;
mod error;
mod features;
mod gru4rec;
mod hstu;
mod influence;
mod mixer;
mod nextitnet;
mod parameters;
mod positions;
mod ranker;
mod sasrec;
mod scorer;
mod target_attention;
mod tokens;
mod user_state;
mod watch;

pub use cache::Cache;
pub use candidates::{CandidateModel, Requests};
pub use config::ModelConfig;
pub use error::ModelError;
pub use features::{FeatureKind, SideFeatures};
pub use gru4rec::{Gru4Rec, Gru4RecConfig};
pub use hstu::{Hstu, HstuConfig};
pub use influence::influence;
pub use mixer::AttentionConfig;
pub use nextitnet::{NextItNet, NextItNetConfig};
pub use parameters::Parameters;
pub use positions::Positions;
pub use sasrec::{Norm, SasRec, SasRecConfig};
pub use scorer::Scorer;
pub use target_attention::{TargetAttention, TargetAttentionConfig};
pub use tokens::Tokens;
pub use user_state::UserState;
pub use watch::{LayerInput, Watch};

use attention_candle::Engine;
use candle_core::Tensor;

/// How a model is run.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// Who computes.
    pub engine: &'a Engine,
    /// The seed of its dropout: there in training, absent where the model is used.
    pub dropout: Option<u64>,
    /// Who sees what goes into each attention.
    pub watch: Option<&'a Watch>,
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
    /// [`ModelError`] where an op or the attention refuses, and of a [candidate model](Self::candidate_model).
    fn encode(&self, items: &Tensor, tokens: &Tokens, pass: Pass<'_>)
    -> Result<Tensor, ModelError>;

    /// The model as one that scores candidates instead of giving states, if it is one.
    fn candidate_model(&self) -> Option<&dyn CandidateModel> {
        None
    }

    /// An empty cache of one history, which a [`UserState`] goes on from event by event.
    ///
    /// # Errors
    /// [`ModelError::NoCache`] of a model that keeps nothing between events, and [`ModelError::Attention`] where
    /// its attention does not, with the reason.
    fn cache(&self) -> Result<Box<dyn Cache + '_>, ModelError> {
        Err(ModelError::NoCache {
            reason: "the model has no form that goes on from one event to the next",
        })
    }

    /// Item vectors as states are compared with them: rows of `items` `[U, D]`, or what the model makes of them.
    ///
    /// # Errors
    /// [`ModelError`] where an op refuses.
    fn compared(&self, items: &Tensor, _: &Engine) -> Result<Tensor, ModelError> {
        Ok(items.clone())
    }
}
