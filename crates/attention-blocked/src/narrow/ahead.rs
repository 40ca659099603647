//! What comes next, brought nearer while something else is computed.

use super::{CHUNK, ROWS};
use crate::forward::Rows;
use crate::simd::{Vector, prefetch_rows};
use attention::Head;
use std::ops::Range;

/// The block that comes `steps` after block `at` of a head of `rows` queries: so many heads further, and
/// the first of its rows.
pub(super) fn following(at: usize, rows: usize, steps: usize, last_first: bool) -> (usize, usize) {
    let blocks = rows.div_ceil(ROWS);
    let turn = |block: usize| {
        if last_first {
            blocks - 1 - block
        } else {
            block
        }
    };
    let place = turn(at) + steps;
    (place / blocks, turn(place % blocks) * ROWS)
}

/// What will be read and written soon.
pub(super) struct Ahead<'h> {
    pub(super) head: Head<'h>,
    pub(super) o: Rows,
    /// The block that this worker most likely gets next: heads further, and its first row.
    pub(super) next: (usize, usize),
}

impl Ahead<'_> {
    /// Brings a share of what comes next nearer, so that no step waits for memory: keys and values of the
    /// next chunk, which begins `rest`, part by part; rows of O and the next block's queries, step by step.
    ///
    /// The next head most likely lies behind this one, and any address will do.
    #[inline(always)]
    pub(super) fn prefetch<V: Vector>(
        &self,
        rest: Range<usize>,
        (part, parts): (usize, usize),
        (step, steps): (usize, usize),
    ) {
        let rows = |rows: &Rows, first: usize, count: usize| {
            prefetch_rows::<V>(rows.ahead(first, count));
        };
        let (heads, row) = self.next;
        let (queries, keys) = (self.head.q.nrows(), self.head.k.nrows());
        let share = queries.min(ROWS).div_ceil(steps);
        rows(&self.o, step * share, share);
        rows(
            &Rows::of(self.head.q),
            heads * queries + row + step * share,
            share,
        );
        let first = if rest.is_empty() {
            heads * keys
        } else {
            rest.start
        };
        let share = keys.min(CHUNK).div_ceil(parts);
        rows(&Rows::of(self.head.k), first + part * share, share);
        rows(&Rows::of(self.head.v), first + part * share, share);
    }
}
