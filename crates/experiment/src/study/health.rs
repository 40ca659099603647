//! How a training's layers fare.

use super::error::StudyError;
use recommender::train::{LayerHealth, TrainError, Trainer};
use recommender::{History, Split};

/// Histories that are looked at.
const HISTORIES: usize = 32;

/// Least users of the length that entropies are taken at.
const LEAST: usize = 8;

/// Gradients by block, of histories evenly from all users.
pub(super) fn blocks(trainer: &Trainer, split: &Split<'_>) -> Result<Vec<LayerHealth>, TrainError> {
    let known: Vec<History<'_>> = split.training().filter(|h| h.len() > 1).collect();
    let count = HISTORIES.min(known.len());
    let chosen: Vec<History<'_>> = (0..count).map(|n| known[n * known.len() / count]).collect();
    Ok(LayerHealth::blocks(&trainer.health(&chosen)?))
}

/// Of each layer, behind as many events as half of all users have.
pub(super) fn entropy(trainer: &Trainer, split: &Split<'_>) -> Result<Vec<f64>, StudyError> {
    let scorer = trainer.scorer();
    if scorer.model.candidate_model().is_some() {
        return Ok(Vec::new());
    }
    let mut lengths: Vec<usize> = split.training().map(|history| history.len()).collect();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    let length = median.min(scorer.model.longest());
    let long = split.training().map(|history| history.items);
    let long = long.filter(|items| items.len() >= length);
    let chosen: Vec<&[u32]> = long.take(HISTORIES).collect();
    if length < 2 || chosen.len() < LEAST {
        return Ok(Vec::new());
    }
    let layers = scorer.layers(&chosen, length)?;
    let mean = |heads: Vec<f64>| heads.iter().sum::<f64>() / heads.len().max(1) as f64;
    Ok(layers.iter().map(|layer| mean(layer.entropy())).collect())
}
