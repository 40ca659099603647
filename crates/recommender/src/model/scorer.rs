//! A trained model as what it is for: scores of all items after a history.

use super::{CandidateModel, ModelError, Pass, Requests, SequenceModel, Tokens};
use attention_candle::{Engine, floats, logits};
use candle_core::{Device, Tensor};
use ndarray::{ArrayView1, ArrayViewMut1, ArrayViewMut2, Axis};

/// Histories that are encoded together: a worker's part.
const HISTORIES: usize = 16;

/// Items that a candidate model scores in one request: what its layers make of them fits a core's cache.
const CANDIDATES: usize = 512;

/// A model and its item vectors `[I, D]`, in use.
#[derive(Clone, Copy)]
pub struct Scorer<'m> {
    /// The model.
    pub model: &'m dyn SequenceModel,
    /// Its item vectors.
    pub items: &'m Tensor,
    /// Who computes.
    pub engine: &'m Engine,
}

impl Scorer<'_> {
    /// Writes the logit of every item behind each history, `[B, I]`; zeros behind an empty one.
    ///
    /// Cost: an encoding of each history's most recent events, and 2·I·D flops; of a candidate model an attention
    /// of I queries over them, and its layers I times.
    ///
    /// # Errors
    /// [`ModelError`] where the model refuses, or an item is not in the catalogue.
    pub fn score(
        &self,
        histories: &[&[u32]],
        mut scores: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ModelError> {
        if let Some(model) = self.model.candidate_model() {
            let rows = histories.iter().zip(scores.outer_iter_mut()).collect();
            let answers = self.engine.workers().map(rows, |(history, scores)| {
                self.score_each(model, history, scores)
            });
            return answers.into_iter().collect();
        }
        let parts = histories.chunks(HISTORIES).collect();
        let states = self.engine.workers().map(parts, |part| self.states(part));
        let states = states.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        let shape = (histories.len(), self.model.width());
        let states = Tensor::from_vec(states, shape, &Device::Cpu)?;
        self.compare(&states, scores)
    }

    /// Writes the logit of every item by states `[B, D]`.
    pub(super) fn compare(
        &self,
        states: &Tensor,
        scores: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ModelError> {
        let items = self.model.compared(&self.items.detach(), self.engine)?;
        Ok(logits(self.engine, states, &items, scores)?)
    }

    pub(super) fn pass(&self) -> Pass<'_> {
        Pass {
            engine: self.engine,
            dropout: None,
            watch: None,
        }
    }

    /// The logit of every item behind a history, by a model that reads it anew for each.
    fn score_each(
        &self,
        model: &dyn CandidateModel,
        history: &[u32],
        mut scores: ArrayViewMut1<'_, f32>,
    ) -> Result<(), ModelError> {
        if history.is_empty() {
            scores.fill(0.0);
            return Ok(());
        }
        let items = self.items.detach();
        let history = Tokens::new([history], self.model.longest());
        let mut next = 0u32;
        for mut scores in scores.axis_chunks_iter_mut(Axis(0), CANDIDATES) {
            let candidates = next..next + scores.len() as u32;
            next = candidates.end;
            let requests = Requests::even(history.clone(), candidates.collect());
            let logits = model.score(&items, &requests, self.pass())?;
            scores.assign(&ArrayView1::from(&floats(&logits)?[..]));
        }
        Ok(())
    }

    /// The state behind the last event of each history, end to end.
    fn states(&self, histories: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let width = self.model.width();
        let tokens = Tokens::new(histories.iter().copied(), self.model.longest());
        // A detached table keeps the tape out.
        let items = self.items.detach();
        let states = self.model.encode(&items, &tokens, self.pass())?;
        let states = floats(&states)?;
        let mut last = vec![0.0; histories.len() * width];
        for (bounds, last) in tokens.offsets.windows(2).zip(last.chunks_exact_mut(width)) {
            if bounds[1] > bounds[0] {
                last.copy_from_slice(&states[(bounds[1] - 1) * width..][..width]);
            }
        }
        Ok(last)
    }
}
