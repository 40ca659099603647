//! Explicit parallelism: a fixed number of workers that share a list of tasks.

mod team;

use crate::error::{Error, Result};
use crate::scratch::Scratch;
use std::sync::{Mutex, PoisonError};
use team::Team;

/// A number of threads: the calling one, and helpers of its own; never a global pool.
///
/// Results do not depend on which worker runs which task, so the same bits come out for any number.
#[derive(Debug)]
pub struct Workers {
    team: Option<Team>,
    threads: usize,
}

impl Workers {
    /// The calling thread alone.
    #[must_use]
    pub fn serial() -> Self {
        Self {
            team: None,
            threads: 1,
        }
    }

    /// `threads` workers: the calling thread and `threads - 1` helpers that live as long as this.
    ///
    /// # Errors
    /// [`Error::Threads`] for 0, or where the operating system refuses.
    pub fn new(threads: usize) -> Result<Self> {
        let fault = |reason: String| Error::Threads { threads, reason };
        match threads {
            0 => Err(fault("at least one is needed".into())),
            1 => Ok(Self::serial()),
            _ => Ok(Self {
                team: Some(Team::new(threads - 1).map_err(|e| fault(e.to_string()))?),
                threads,
            }),
        }
    }

    /// How many workers.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on every task; each worker has `floats` f32 of `scratch` to itself.
    ///
    /// Tasks are made and taken in order by whichever worker is free: an iterator that makes them
    /// cheaply (such as [`row_blocks`](crate::OutputMut::row_blocks)) needs no memory for a list.
    /// Nothing is allocated beyond what the scratch lacks; its content is not cleared between tasks.
    /// A call from within a task, or while another thread uses the same workers, runs on the calling
    /// thread alone.
    pub fn run<T>(
        &self,
        tasks: impl IntoIterator<Item = T, IntoIter: Send>,
        scratch: &mut Scratch,
        floats: usize,
        work: impl Fn(T, &mut [f32]) + Sync,
    ) {
        let tasks = tasks.into_iter();
        let most = tasks.size_hint().1.unwrap_or(usize::MAX);
        let workers = self.threads.min(most).max(1);
        self.run_on(tasks, scratch.parts(workers, floats), work);
    }

    /// As [`run`](Self::run), with a worker for each of `parts`, and at most so many as there are
    /// threads: for callers that keep a part of a scratch to themselves.
    pub fn run_on<'p, T>(
        &self,
        tasks: impl IntoIterator<Item = T, IntoIter: Send>,
        parts: impl ExactSizeIterator<Item = &'p mut [f32]> + Send,
        work: impl Fn(T, &mut [f32]) + Sync,
    ) {
        let tasks = tasks.into_iter();
        let most = tasks.size_hint().1.unwrap_or(usize::MAX);
        let workers = self.threads.min(most).min(parts.len()).max(1);
        let queue = Mutex::new((tasks, parts));
        let queue = || queue.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = || {
            let Some(part) = queue().1.next() else { return };
            loop {
                // The lock is let go before the work begins.
                let task = queue().0.next();
                match task {
                    Some(task) => work(task, part),
                    None => return,
                }
            }
        };
        let together = self.team.as_ref().filter(|_| workers > 1);
        if !together.is_some_and(|team| team.run(workers - 1, &worker)) {
            worker();
        }
    }

    /// Runs `work` on every task and collects the answers in the order of the tasks.
    pub fn map<T: Send, R: Send>(&self, tasks: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        let mut answers: Vec<Option<R>> = tasks.iter().map(|_| None).collect();
        let pairs = tasks.into_iter().zip(answers.iter_mut());
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
        workers.run(0..200usize, &mut scratch, 64, |task, part| {
            part.fill(task as f32);
            std::thread::yield_now();
            assert!(part.iter().all(|&x| x == task as f32));
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_goes_on() {
        let workers = Workers::new(3).unwrap();
        for _ in 0..20 {
            let call = std::panic::AssertUnwindSafe(|| {
                workers.map((0..50).collect(), |n: u32| assert_ne!(n, 31))
            });
            assert!(std::panic::catch_unwind(call).is_err());
            assert_eq!(workers.map((0..50).collect(), |n: u32| n).len(), 50);
        }
    }

    #[test]
    fn calls_from_within_a_task_and_from_many_threads_are_answered() {
        let workers = &Workers::new(2).unwrap();
        let nested = |m: u64| {
            workers
                .map((0..m).collect(), |n: u64| n)
                .iter()
                .sum::<u64>()
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let sums = workers.map((0..20).collect(), nested);
                        assert_eq!(sums[19], (0..19).sum());
                    }
                });
            }
        });
    }

    #[test]
    fn both_threads_work_at_the_same_time() {
        let workers = Workers::new(2).unwrap();
        let meet = std::sync::Barrier::new(2);
        // Each task waits for the other: one thread alone would wait for ever.
        workers.run(0..2, &mut Scratch::new(), 0, |_, _| {
            meet.wait();
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
