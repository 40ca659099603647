//! Explicit parallelism: a fixed number of workers that share a list of tasks.

use crate::error::{Error, Result};
use crate::scratch::Scratch;
use std::sync::{Mutex, PoisonError};

/// A number of threads, and the pool they live in; never the global one.
///
/// Results do not depend on which worker runs which task, so the same bits come out for any number.
#[derive(Debug)]
pub struct Workers {
    pool: Option<rayon::ThreadPool>,
    threads: usize,
}

impl Workers {
    /// The calling thread alone.
    #[must_use]
    pub fn serial() -> Self {
        Self {
            pool: None,
            threads: 1,
        }
    }

    /// `threads` workers in a pool of their own; for 1, the calling thread.
    ///
    /// # Errors
    /// [`Error::Threads`] for 0, or where the operating system refuses.
    pub fn new(threads: usize) -> Result<Self> {
        let fault = |reason: String| Error::Threads { threads, reason };
        match threads {
            0 => Err(fault("at least one is needed".into())),
            1 => Ok(Self::serial()),
            _ => rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|i| format!("attention-{i}"))
                .build()
                .map(|pool| Self {
                    pool: Some(pool),
                    threads,
                })
                .map_err(|e| fault(e.to_string())),
        }
    }

    /// How many workers.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on every task; each worker has `floats` f32 of `scratch` to itself.
    ///
    /// Tasks are taken in order by whichever worker is free. Scratch is not cleared between tasks.
    pub fn run<T: Send>(
        &self,
        tasks: Vec<T>,
        scratch: &mut Scratch,
        floats: usize,
        work: impl Fn(T, &mut [f32]) + Sync,
    ) {
        let workers = self.threads.min(tasks.len()).max(1);
        let parts = scratch.parts(workers, floats);
        let Some(pool) = self.pool.as_ref().filter(|_| workers > 1) else {
            if let Some(part) = parts.into_iter().next() {
                tasks.into_iter().for_each(|task| work(task, part));
            }
            return;
        };
        let queue = Mutex::new(tasks.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        pool.scope(|scope| {
            for part in parts {
                let (next, work) = (&next, &work);
                scope.spawn(move |_| {
                    while let Some(task) = next() {
                        work(task, part);
                    }
                });
            }
        });
    }

    /// Runs `work` on every task and collects the answers in the order of the tasks.
    pub fn map<T: Send, R: Send>(&self, tasks: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        let mut answers: Vec<Option<R>> = tasks.iter().map(|_| None).collect();
        let pairs = tasks.into_iter().zip(answers.iter_mut()).collect();
        self.run(pairs, &mut Scratch::new(), 0, |(task, slot), _| {
            *slot = Some(work(task))
        });
        answers.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_and_answers_keep_their_order() {
        for threads in [1, 2, 4] {
            let workers = Workers::new(threads).unwrap();
            let squares = workers.map((0..100).collect(), |n: u64| n * n);
            assert_eq!(squares, (0..100).map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn scratch_parts_belong_to_one_worker_at_a_time() {
        let workers = Workers::new(4).unwrap();
        let mut scratch = Scratch::new();
        workers.run((0..200).collect(), &mut scratch, 64, |task: usize, part| {
            part.fill(task as f32);
            std::thread::yield_now();
            assert!(part.iter().all(|&x| x == task as f32));
        });
    }

    #[test]
    fn no_threads_is_an_error() {
        assert!(matches!(
            Workers::new(0),
            Err(Error::Threads { threads: 0, .. })
        ));
    }
}
