//! Who computes, and in which memory.

use attention::{Scratch, Workers};
use std::sync::{Arc, Mutex, PoisonError};

/// Workers and scratch that ops share; cheap to clone.
///
/// A call from within a task of the same workers runs on the calling thread alone: a trainer that gives
/// each worker a part of the batch builds the same graph from the same ops as one that does not.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    workers: Workers,
    scratch: Mutex<Vec<Scratch>>,
}

impl Engine {
    /// An engine on these workers.
    #[must_use]
    pub fn new(workers: Workers) -> Self {
        Self(Arc::new(Shared {
            workers,
            scratch: Mutex::default(),
        }))
    }

    /// The workers.
    #[must_use]
    pub fn workers(&self) -> &Workers {
        &self.0.workers
    }

    /// Lends a scratch, which is kept for the next call.
    pub(crate) fn with_scratch<R>(&self, call: impl FnOnce(&mut Scratch) -> R) -> R {
        let pool = || {
            self.0
                .scratch
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let mut scratch = pool().pop().unwrap_or_default();
        let answer = call(&mut scratch);
        pool().push(scratch);
        answer
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
