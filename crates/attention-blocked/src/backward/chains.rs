//! Which blocks of queries add to the same memory, and so belong to one chain.

use super::turns::Ticket;
use crate::simd::QUERIES;
use attention::{Bias, Geometry, Problem};
use std::ops::Range;

/// Histories and query heads by chains.
pub(super) struct Chains<'a> {
    geometry: &'a Geometry,
    shared: Shared,
}

/// What chains have in common beside dK and dV of one history and key head.
enum Shared {
    /// Nothing: a chain is a history and key head.
    Nothing,
    /// A bias table by heads: a chain is a key head over all histories.
    Histories,
    /// A bias table for all heads: there is one chain.
    Everything,
}

/// One block of queries.
pub(super) struct QueryBlock {
    pub(super) sequence: usize,
    pub(super) head: usize,
    pub(super) rows: Range<usize>,
    /// Whether it is the first to add to its dK and dV.
    pub(super) first: bool,
}

impl<'a> Chains<'a> {
    pub(super) fn of(problem: &'a Problem<'_>) -> Self {
        let shape = problem.shape();
        let shared = match problem.bias() {
            None => Shared::Nothing,
            Some(bias) => {
                let (heads, by_pair) = match bias {
                    Bias::Dense(table) => (table.dim().0, true),
                    Bias::Relative(table) => (table.nrows(), false),
                    _ => (1, false),
                };
                match (heads == shape.h, by_pair && shape.b == 1) {
                    (true, true) => Shared::Nothing,
                    (true, false) => Shared::Histories,
                    (false, _) => Shared::Everything,
                }
            }
        };
        Self {
            geometry: problem.geometry(),
            shared,
        }
    }

    pub(super) fn len(&self) -> usize {
        let shape = self.geometry.shape();
        match self.shared {
            _ if shape.b * shape.hkv == 0 => 0,
            Shared::Nothing => shape.b * shape.hkv,
            Shared::Histories => shape.hkv,
            Shared::Everything => 1,
        }
    }

    /// How many blocks a chain has. Cost: O(1) unless histories of different length share a bias.
    pub(super) fn blocks(&self, chain: usize) -> usize {
        let histories = match self.shared {
            Shared::Nothing => {
                chain / self.geometry.shape().hkv..chain / self.geometry.shape().hkv + 1
            }
            _ => 0..self.geometry.shape().b,
        };
        histories.map(|s| self.heads() * self.blocks_of(s)).sum()
    }

    /// The block that a ticket stands for.
    pub(super) fn block(&self, ticket: Ticket) -> QueryBlock {
        let shape = self.geometry.shape();
        let (mut sequence, mut block) = match self.shared {
            Shared::Nothing => (ticket.chain / shape.hkv, ticket.block),
            _ => (0, ticket.block),
        };
        while block >= self.heads() * self.blocks_of(sequence) {
            block -= self.heads() * self.blocks_of(sequence);
            sequence += 1;
        }
        let blocks = self.blocks_of(sequence);
        let first_head = match self.shared {
            Shared::Nothing => ticket.chain % shape.hkv * self.heads(),
            Shared::Histories => ticket.chain * self.heads(),
            Shared::Everything => 0,
        };
        let head = first_head + block / blocks;
        let start = block % blocks * QUERIES;
        let queries = self.geometry.query_range(sequence).len();
        QueryBlock {
            sequence,
            head,
            rows: start..(start + QUERIES).min(queries),
            first: start == 0 && head.is_multiple_of(shape.h / shape.hkv),
        }
    }

    /// Query heads of a history in one chain.
    fn heads(&self) -> usize {
        let shape = self.geometry.shape();
        match self.shared {
            Shared::Everything => shape.h,
            _ => shape.h / shape.hkv,
        }
    }

    fn blocks_of(&self, sequence: usize) -> usize {
        self.geometry.query_range(sequence).len().div_ceil(QUERIES)
    }
}
