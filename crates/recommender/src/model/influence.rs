//! Which past events a recommendation rests on.

use super::{ModelError, Scorer};
use ndarray::Array2;

/// Shares of the events that a model looks at in the scores of `items`: how much their sum falls when an event
/// is left out of the history, over all such falls; events without which it rises have none.
///
/// By occlusion (Zeiler & Fergus 2014, section 4.2), so that it means the same for any attention: weights of an
/// attention say what a layer looked at, not what came of it. For the latest events alone, as many as the model
/// looks at.
///
/// Cost: as many scorings as events.
///
/// # Errors
/// [`ModelError`] where the model refuses.
pub fn influence(
    scorer: &Scorer<'_>,
    history: &[u32],
    items: &[u32],
) -> Result<Vec<f64>, ModelError> {
    let history = &history[history.len().saturating_sub(scorer.model.longest())..];
    let without: Vec<Vec<u32>> = (0..history.len())
        .map(|left_out| {
            let (before, after) = (&history[..left_out], &history[left_out + 1..]);
            [before, after].concat()
        })
        .collect();
    let mut histories: Vec<&[u32]> = vec![history];
    histories.extend(without.iter().map(Vec::as_slice));
    let catalogue = scorer.items.dim(0)?;
    let mut sums = Vec::with_capacity(histories.len());
    for part in histories.chunks(64) {
        let mut scores = Array2::zeros((part.len(), catalogue));
        scorer.score(part, scores.view_mut())?;
        let rows = scores.rows().into_iter();
        sums.extend(rows.map(|row| {
            let scores = items.iter().map(|&item| f64::from(row[item as usize]));
            scores.sum::<f64>()
        }));
    }
    let Some((whole, parts)) = sums.split_first() else {
        return Ok(Vec::new());
    };
    let falls: Vec<f64> = parts.iter().map(|sum| (whole - sum).max(0.0)).collect();
    let all: f64 = falls.iter().sum();
    Ok(falls
        .into_iter()
        .map(|fall| if all > 0.0 { fall / all } else { 0.0 })
        .collect())
}
