//! Who works on what, and in which order sums are added.
//!
//! dK and dV of a key are sums over blocks of queries, which several workers may compute at once. A
//! *chain* is the list of query blocks that add to the same memory; every sum is added in the order
//! of the chain, so that the bits do not depend on who computed it. A worker that is ahead of its
//! turn waits; since all of them walk over the keys in the same direction, they follow one another
//! like the stages of a pipeline, and no partial result is ever stored.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A block of a chain that a worker has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Which chain.
    pub(super) chain: usize,
    /// Which of its blocks.
    pub(super) block: usize,
}

/// The blocks that nobody has taken yet, and how far those in work have come.
pub(super) struct Turns<N> {
    chains: usize,
    blocks: N,
    state: Mutex<State>,
    workers: usize,
    places: [Place; MOST_WORKERS],
}

/// Most workers of one call: their places are on the stack, so that a call allocates nothing.
pub(super) const MOST_WORKERS: usize = 256;

struct State {
    /// Chains from here on are untouched.
    next: usize,
    /// Chains that were begun and have blocks left, no more than there are workers: the first block
    /// that nobody has taken.
    open: [Ticket; MOST_WORKERS],
    open_chains: usize,
}

/// Where a worker is, on a cache line of its own.
#[repr(align(64))]
struct Place(AtomicU64);

/// Position of a worker that has nothing in work.
const IDLE: u64 = u64::MAX;

/// Tiles and blocks are counted in 24 bits: with 64 rows in each, enough for 2^30 rows.
const BITS: u32 = 24;

fn position(ticket: Ticket, tile: usize) -> u64 {
    let low = |n: usize| n as u64 & ((1 << BITS) - 1);
    // Of the chain 16 bits are left. Two chains that agree in them wait for each other's lower
    // blocks, which costs time at most: whoever holds the lowest block never waits.
    (ticket.chain as u64) << (2 * BITS) | low(ticket.block) << BITS | low(tile)
}

impl<N: Fn(usize) -> usize> Turns<N> {
    /// For at most [`MOST_WORKERS`]; `blocks` tells how many a chain has.
    pub(super) fn new(workers: usize, chains: usize, blocks: N) -> Self {
        Self {
            chains,
            blocks,
            state: Mutex::new(State {
                next: 0,
                open: [Ticket { chain: 0, block: 0 }; MOST_WORKERS],
                open_chains: 0,
            }),
            workers,
            places: [const { Place(AtomicU64::new(IDLE)) }; MOST_WORKERS],
        }
    }

    /// The next block for a worker: of the chain that it is on, else of one that nobody has begun,
    /// else of one that others are on.
    pub(super) fn take(&self, worker: usize, last: Option<Ticket>) -> Option<Ticket> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = last.and_then(|last| state.open().position(|t| t.chain == last.chain));
        let ticket = own
            .or_else(|| self.begin(&mut state))
            .or_else(|| (state.open_chains > 0).then_some(0))
            .map(|at| state.advance(at, &self.blocks));
        // Written under the lock: who takes a later block of the chain sees this one.
        let place = ticket.map_or(IDLE, |ticket| position(ticket, 0));
        self.places[worker].0.store(place, Ordering::Release);
        ticket
    }

    /// Opens the next chain that has blocks; gives its place among the open ones.
    fn begin(&self, state: &mut State) -> Option<usize> {
        while state.next < self.chains {
            let chain = state.next;
            state.next += 1;
            if (self.blocks)(chain) > 0 {
                // A worker opens a chain only when that of its last block is closed, and so never
                // keeps more than one open.
                state.open[state.open_chains] = Ticket { chain, block: 0 };
                state.open_chains += 1;
                return Some(state.open_chains - 1);
            }
        }
        None
    }

    /// Says that the sums of all tiles before `tile` are added.
    #[inline]
    pub(super) fn reach(&self, worker: usize, ticket: Ticket, tile: usize) {
        if self.workers > 1 {
            let place = position(ticket, tile);
            self.places[worker].0.store(place, Ordering::Release);
        }
    }

    /// Waits until every earlier block of the chain has added its sums of `tile`.
    #[inline]
    pub(super) fn await_turn(&self, worker: usize, ticket: Ticket, tile: usize) {
        let mine = position(ticket, tile);
        let ahead = |place: u64| {
            let same_chain = place >> (2 * BITS) == mine >> (2 * BITS);
            let mask = (1 << BITS) - 1;
            same_chain
                && place != IDLE
                && (place >> BITS & mask) < (mine >> BITS & mask)
                && (place & mask) <= (mine & mask)
        };
        for (other, place) in self.places[..self.workers].iter().enumerate() {
            let mut spins = 0u32;
            while other != worker && ahead(place.0.load(Ordering::Acquire)) {
                spins += 1;
                if spins.is_multiple_of(256) {
                    std::thread::yield_now();
                } else {
                    std::hint::spin_loop();
                }
            }
        }
    }

    /// Waits until every earlier block of the chain is done altogether.
    pub(super) fn await_all(&self, worker: usize, ticket: Ticket) {
        self.await_turn(worker, ticket, (1 << BITS) - 1);
    }
}

impl State {
    fn open(&self) -> impl Iterator<Item = &Ticket> {
        self.open[..self.open_chains].iter()
    }

    /// Takes the first free block of an open chain, and closes the chain with its last.
    fn advance(&mut self, at: usize, blocks: impl Fn(usize) -> usize) -> Ticket {
        let ticket = self.open[at];
        self.open[at].block += 1;
        if self.open[at].block == blocks(ticket.chain) {
            self.open_chains -= 1;
            self.open[at] = self.open[self.open_chains];
        }
        ticket
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_block_is_taken_once_and_adds_in_its_turn() {
        const TILES: usize = 20;
        let lengths = [3, 0, 9, 1, 30];
        for threads in [1, 2, 4] {
            let turns = Turns::new(threads, lengths.len(), |chain| lengths[chain]);
            // How many blocks have added to each tile of each chain.
            let added: Vec<Vec<AtomicUsize>> = (0..lengths.len())
                .map(|_| (0..TILES).map(|_| AtomicUsize::new(0)).collect())
                .collect();
            std::thread::scope(|scope| {
                for worker in 0..threads {
                    let (turns, added) = (&turns, &added);
                    scope.spawn(move || {
                        let mut last = None;
                        while let Some(ticket) = turns.take(worker, last) {
                            // As a causal mask has it, some tiles are passed over.
                            for tile in (0..TILES).filter(|t| (t + ticket.block) % 3 != 0) {
                                turns.reach(worker, ticket, tile);
                                turns.await_turn(worker, ticket, tile);
                                let before =
                                    (0..ticket.block).filter(|b| (tile + b) % 3 != 0).count();
                                let count =
                                    added[ticket.chain][tile].fetch_add(1, Ordering::Relaxed);
                                assert_eq!(count, before);
                                turns.reach(worker, ticket, tile + 1);
                            }
                            last = Some(ticket);
                        }
                    });
                }
            });
            for (chain, &length) in added.iter().zip(&lengths) {
                for (tile, count) in chain.iter().enumerate() {
                    let all = (0..length).filter(|b| (tile + b) % 3 != 0).count();
                    assert_eq!(count.load(Ordering::Relaxed), all);
                }
            }
        }
    }
}
