//! Sums whose order does not depend on who finishes first.

use attention::{Scratch, Workers};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Runs `work` on every task on the workers, and `merge` on its answers in the order of the tasks.
///
/// Sums of floats made in `merge` are the same for any number of workers. An answer waits for those before
/// it, so that about as many are held as there are workers where tasks are of like size.
pub fn ordered<T, P: Send>(
    workers: &Workers,
    tasks: impl IntoIterator<Item = T, IntoIter: Send>,
    work: impl Fn(T) -> P + Sync,
    merge: impl FnMut(P) + Send,
) {
    let turns = Mutex::new(Turns {
        next: 0,
        waiting: BTreeMap::new(),
        merge,
    });
    let tasks = tasks.into_iter().enumerate();
    workers.run(tasks, &mut Scratch::new(), 0, |(turn, task), _| {
        let answer = work(task);
        let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.waiting.insert(turn, answer);
        turns.take();
    });
}

struct Turns<P, M> {
    next: usize,
    waiting: BTreeMap<usize, P>,
    merge: M,
}

impl<P, M: FnMut(P)> Turns<P, M> {
    fn take(&mut self) {
        while let Some(answer) = self.waiting.remove(&self.next) {
            (self.merge)(answer);
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_merged_in_the_order_of_their_tasks() {
        let workers = Workers::new(3).unwrap();
        let mut merged = Vec::new();
        let work = |n: u64| {
            // The first of three takes longest.
            std::thread::sleep(std::time::Duration::from_micros(300 * (3 - n % 3)));
            n
        };
        ordered(&workers, 0..30, work, |n| merged.push(n));
        assert_eq!(merged, (0..30).collect::<Vec<_>>());
    }
}
