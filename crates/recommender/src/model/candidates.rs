//! Models whose score of an item depends on the item and the history together.

use super::{ModelError, Pass, Tokens};
use attention::Layout;
use candle_core::Tensor;
use std::sync::Arc;

/// What a candidate model is asked: histories, and the items that each shall be scored with.
#[derive(Debug, Clone)]
pub struct Requests {
    /// The histories, B of them.
    pub histories: Tokens,
    /// `[C]`: candidates as rows of the table of item vectors, request by request.
    pub candidates: Arc<[u32]>,
    /// `[B + 1]`: history b is asked for candidates `offsets[b]..offsets[b + 1]`.
    pub offsets: Arc<[usize]>,
}

impl Requests {
    /// The same number of candidates for every history.
    #[must_use]
    pub fn even(histories: Tokens, candidates: Arc<[u32]>) -> Self {
        let requests = histories.offsets.len().saturating_sub(1);
        let each = candidates.len() / requests.max(1);
        Self {
            histories,
            candidates,
            offsets: (0..=requests).map(|request| request * each).collect(),
        }
    }

    /// The layout of candidates as queries over the events of their histories.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout::Jagged {
            q: self.offsets.clone(),
            k: self.histories.offsets.clone(),
        }
    }
}

/// A model that reads a history in the light of each candidate: the interest that a user has in this very item.
///
/// All candidates of a request are one block of queries, so that keys and values are made once a request. In training
/// each target is a request of its own, with the events before it as history and sampled negatives beside it.
pub trait CandidateModel: Send + Sync {
    /// Logits `[C]` of the candidates of some requests, whose ids are rows of `items` `[U, D]`.
    ///
    /// # Errors
    /// [`ModelError`] where an op or the attention refuses.
    fn score(
        &self,
        items: &Tensor,
        requests: &Requests,
        pass: Pass<'_>,
    ) -> Result<Tensor, ModelError>;
}
