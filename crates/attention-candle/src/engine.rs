//! Who computes, and in which memory.

use crate::tape::{Node, Tape, WeakTape};
use attention::{Scratch, Workers};
use candle_core::Tensor;
use std::sync::{Arc, Mutex, PoisonError};

/// Workers and scratch that ops share; cheap to clone.
///
/// A call from within a task of the same workers runs on the calling thread alone: a trainer that gives
/// each worker a part of the batch builds the same graph from the same ops as one that does not.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    tape: Option<WeakTape>,
}

#[derive(Debug)]
struct Shared {
    workers: Workers,
    scratch: Mutex<Vec<Scratch>>,
}

impl Engine {
    /// An engine on these workers.
    #[must_use]
    pub fn new(workers: Workers) -> Self {
        let scratch = Mutex::default();
        Self {
            shared: Arc::new(Shared { workers, scratch }),
            tape: None,
        }
    }

    /// The same workers and scratch, with ops that go onto a tape instead of into candle's graph.
    #[must_use]
    pub fn with_tape(&self, tape: &Tape) -> Self {
        Self {
            shared: self.shared.clone(),
            tape: Some(tape.downgrade()),
        }
    }

    /// The workers.
    #[must_use]
    pub fn workers(&self) -> &Workers {
        &self.shared.workers
    }

    /// Lends a scratch, which is kept for the next call.
    pub(crate) fn with_scratch<R>(&self, call: impl FnOnce(&mut Scratch) -> R) -> R {
        let pool = || {
            self.shared
                .scratch
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let mut scratch = pool().pop().unwrap_or_default();
        let answer = call(&mut scratch);
        pool().push(scratch);
        answer
    }

    /// An op's output: on the tape, or in candle's graph.
    pub(crate) fn apply(&self, node: Node) -> candle_core::Result<Tensor> {
        match self.tape.as_ref().and_then(WeakTape::upgrade) {
            Some(tape) => tape.apply(node),
            None => node.in_candles_graph(),
        }
    }

    /// Runs `work` on every task; what is shared is the caller's to arrange.
    pub(crate) fn run<T>(
        &self,
        tasks: impl IntoIterator<Item = T, IntoIter: Send>,
        work: impl Fn(T) + Sync,
    ) {
        self.workers()
            .run(tasks, &mut Scratch::new(), 0, |task, _| work(task));
    }
}
