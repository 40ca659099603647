//! From a part of a batch to its gradients, on one worker.

use super::batches::{Part, Question};
use super::items::ItemTable;
use crate::loss::{Goals, Loss};
use crate::model::{ModelError, Pass, Requests, SequenceModel};
use attention_candle::{Engine, Tape};
use candle_core::{Tensor, Var};

/// What a step works with.
#[derive(Clone, Copy)]
pub(super) struct Step<'t> {
    pub(super) model: &'t dyn SequenceModel,
    pub(super) items: &'t ItemTable,
    pub(super) engine: &'t Engine,
    pub(super) loss: Loss,
    /// 1/positions of the batch.
    pub(super) factor: f32,
}

/// What a part adds to a step.
pub(super) struct PartGradient {
    pub(super) loss: f64,
    /// In the order of the model's parameters; `None` where the loss does not depend on one.
    pub(super) parameters: Vec<Option<Tensor>>,
    /// Of the item vectors in `rows`, or of all.
    pub(super) items: Tensor,
    pub(super) rows: Vec<u32>,
}

impl Step<'_> {
    /// Loss and gradients of a part.
    pub(super) fn learn(&self, part: &Part<'_>, seed: u64) -> Result<PartGradient, ModelError> {
        let question = part.question(self.loss, self.items.count(), seed, false);
        let table = self.table(&question)?;
        let tape = Tape::default();
        let engine = &self.engine.with_tape(&tape);
        let loss = Step { engine, ..*self }.ask(&question, &table, Some(seed))?;
        let gradients = tape.backward(&loss)?;
        let parameters = self.model.parameters().iter();
        Ok(PartGradient {
            loss: f64::from(loss.to_scalar::<f32>()?),
            parameters: parameters
                .map(|(_, var)| gradients.get(var).cloned())
                .collect(),
            items: match gradients.get(&table) {
                Some(gradient) => gradient.contiguous()?,
                None => table.zeros_like()?,
            },
            rows: question.items,
        })
    }

    /// The loss of predicting each history's last event alone, without dropout.
    pub(super) fn predict(&self, part: &Part<'_>, seed: u64) -> Result<f64, ModelError> {
        let question = part.question(self.loss, self.items.count(), seed, true);
        let table = self.table(&question)?;
        let loss = self.ask(&question, &table.as_detached_tensor(), None)?;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }

    fn ask(
        &self,
        question: &Question,
        table: &Tensor,
        dropout: Option<u64>,
    ) -> Result<Tensor, ModelError> {
        let pass = Pass {
            engine: self.engine,
            dropout,
            watch: None,
        };
        let catalogue = self.items.count();
        let of = |states: &Tensor, items: &Tensor, goals: &Goals| {
            self.loss
                .of(self.engine, states, items, goals, catalogue, self.factor)
        };
        let Some(model) = self.model.candidate_model() else {
            let states = self.model.encode(table, &question.tokens, pass)?;
            let items = self.model.compared(table, self.engine)?;
            return of(&states, &items, &question.goals);
        };
        let requests = Requests::even(question.tokens.clone(), question.goals.rows.clone());
        let logits = model.score(table, &requests, pass)?.unsqueeze(1)?;
        // To the loss a request is a state of one number, 1, and its candidates are items of one number, their
        // logits.
        let ones = (requests.offsets.len() - 1, 1);
        let ones = Tensor::ones(ones, logits.dtype(), logits.device())?;
        let goals = Goals {
            rows: (0..requests.candidates.len() as u32).collect(),
            ratings: question.goals.ratings.clone(),
        };
        of(&ones, &logits, &goals)
    }

    /// The vectors of the question's items: a leaf of the tape as small as the part.
    fn table(&self, question: &Question) -> Result<Var, ModelError> {
        if question.items.is_empty() {
            return Ok(self.items.vectors().clone());
        }
        Ok(self.items.leaf(&question.items, self.engine.workers())?)
    }
}
