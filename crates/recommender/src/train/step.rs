//! From a part of a batch to its gradients, on one worker.

use super::batches::{Part, Question};
use crate::loss::Loss;
use crate::model::{ModelError, Pass, SequenceModel};
use attention_candle::{Engine, floats};
use candle_core::{Tensor, Var};

/// What a step works with.
#[derive(Clone, Copy)]
pub(super) struct Step<'t> {
    pub(super) model: &'t dyn SequenceModel,
    /// Item vectors `[I, D]`.
    pub(super) items: &'t Var,
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
        let question = part.question(self.loss, self.items.dim(0)?, seed, false);
        let table = self.table(&question)?;
        let loss = self.ask(&question, &table, Some(seed))?;
        let gradients = loss.backward()?;
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
        let question = part.question(self.loss, self.items.dim(0)?, seed, true);
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
        };
        let states = self.model.encode(table, &question.tokens, pass)?;
        let catalogue = self.items.dim(0)?;
        self.loss.of(
            self.engine,
            &states,
            &self.model.compared(table)?,
            &question.goals,
            catalogue,
            self.factor,
        )
    }

    /// The vectors of the question's items: a leaf of the tape as small as the part.
    fn table(&self, question: &Question) -> Result<Var, ModelError> {
        if question.items.is_empty() {
            return Ok(self.items.clone());
        }
        let (width, items) = (self.items.dim(1)?, floats(self.items)?);
        let mut rows = Vec::with_capacity(question.items.len() * width);
        for &item in &question.items {
            rows.extend_from_slice(&items[item as usize * width..][..width]);
        }
        let shape = (question.items.len(), width);
        Ok(Var::from_vec(rows, shape, self.items.device())?)
    }
}
