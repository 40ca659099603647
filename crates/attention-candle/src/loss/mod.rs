//! Losses of next-item prediction, from states and item vectors to one number, without a tensor of logits.
//!
//! The logit of item i at position t is h_t·e_i. A loss is a sum over positions times a factor that the
//! caller gives, 1/positions for a mean over a batch of which the call sees a part. A position whose target is
//! [`SKIP`] counts for nothing: padding. Gradients by the logits are computed with the loss, and scaled
//! by what comes back along the tape.

mod logits;
mod sampled;
mod softmax;

pub use logits::logits;
pub use sampled::{Objective, sampled_loss};
pub use softmax::softmax_loss;

/// The target of a position that does not count.
pub const SKIP: u32 = u32::MAX;

/// Ids of a call that must be rows of the table.
fn counted(ids: &[u32]) -> Vec<u32> {
    ids.iter().copied().filter(|&id| id != SKIP).collect()
}
