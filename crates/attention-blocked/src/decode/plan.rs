//! Which histories are split, and where the results of their chunks lie.

use super::chunk::{self, Partial};
use attention::{Geometry, RowBlock, Scratch, Shape};
use std::ops::Range;

/// Keys of a task: long enough that merging costs nothing, short enough that 4096 keys of one head
/// keep eight threads busy.
const CHUNK: usize = 512;

/// Floats to which parts of working memory are rounded up: a cache line.
const LINE: usize = 16;

/// The cut of a question into chunks of keys. It depends on the question alone.
pub(crate) struct Plan<F> {
    /// `nq` and `nk` are not read.
    pub(crate) shape: Shape,
    /// Queries of a history up to which its keys are split.
    pub(crate) few: usize,
    /// The queries of a history, and the keys outside of which they see nothing.
    pub(crate) history: F,
}

/// A chunk of the keys of one history and key head.
pub(super) struct Task<'m> {
    pub(super) sequence: usize,
    pub(super) key_head: usize,
    pub(super) keys: Range<usize>,
    pub(super) partial: &'m mut [f32],
}

/// The plan of a problem's geometry.
pub(crate) fn plan(
    geometry: &Geometry,
    few: usize,
) -> Plan<impl Fn(usize) -> (usize, Range<usize>) + Sync> {
    Plan {
        shape: *geometry.shape(),
        few,
        history: |s| {
            let mask = geometry.sequence(s);
            (mask.queries(), mask.span_of(0..mask.queries()))
        },
    }
}

impl<F: Fn(usize) -> (usize, Range<usize>) + Sync> Plan<F> {
    fn group(&self) -> usize {
        (self.shape.h / self.shape.hkv.max(1)).max(1)
    }

    /// Rows of queries that read a key head of history `s`, and its chunks; none unless it is split.
    fn split(&self, s: usize) -> Option<(usize, Range<usize>)> {
        let (queries, span) = (self.history)(s);
        let chunks = span.start / CHUNK..span.end.div_ceil(CHUNK);
        (1..=self.few)
            .contains(&queries)
            .then(|| (queries * self.group(), chunks))
    }

    /// Floats of all partial results, and of a worker that has `own` to do besides.
    fn floats(&self, own: usize) -> (usize, usize) {
        let Shape { b, hkv, d, dv, .. } = self.shape;
        let splits = || (0..b).filter_map(|s| self.split(s));
        let partials =
            splits().map(|(rows, chunks)| hkv * chunks.len() * Partial::floats(rows, dv));
        let working = splits()
            .map(|(rows, _)| chunk::working_floats(rows, d))
            .max();
        let working = working.unwrap_or(0).max(own);
        (
            partials.sum::<usize>().next_multiple_of(LINE),
            working.next_multiple_of(LINE),
        )
    }

    /// Bytes that [`memory`](Self::memory) takes.
    pub(crate) fn bytes(&self, own: usize, threads: usize) -> u64 {
        let (partials, working) = self.floats(own);
        Scratch::bytes_for(1, partials + threads * working)
    }

    /// Room for all partial results, and for `threads` workers: the floats of each, then all of them.
    pub(crate) fn memory<'m>(
        &self,
        own: usize,
        threads: usize,
        scratch: &'m mut Scratch,
    ) -> (&'m mut [f32], usize, &'m mut [f32]) {
        let (partials, working) = self.floats(own);
        let (partials, parts) = scratch
            .part(partials + threads * working)
            .split_at_mut(partials);
        (partials, working.max(1), parts)
    }

    /// Every chunk of every history that is split.
    pub(super) fn tasks<'m>(
        &self,
        partials: &'m mut [f32],
    ) -> impl Iterator<Item = Task<'m>> + Send {
        let Shape { b, hkv, dv, .. } = self.shape;
        let splits = (0..b).filter_map(|s| Some((s, self.split(s)?)));
        let mut free = partials;
        splits
            .flat_map(move |(s, (rows, chunks))| {
                (0..hkv).flat_map(move |head| chunks.clone().map(move |c| (s, head, rows, c)))
            })
            .map(move |(sequence, key_head, rows, c)| {
                let floats = Partial::floats(rows, dv);
                let (partial, rest) = std::mem::take(&mut free).split_at_mut(floats);
                free = rest;
                Task {
                    sequence,
                    key_head,
                    keys: c * CHUNK..(c + 1) * CHUNK,
                    partial,
                }
            })
    }

    /// Gives each block of a history that is split the partial results of its key head.
    ///
    /// `blocks` come in the order of histories and heads.
    pub(crate) fn with_partials<'o, 'm>(
        &self,
        blocks: impl Iterator<Item = RowBlock<'o>> + Send,
        partials: &'m [f32],
    ) -> impl Iterator<Item = (RowBlock<'o>, Option<&'m [f32]>)> + Send {
        let mut rest = partials;
        let mut at = (usize::MAX, usize::MAX);
        let mut mine = &partials[..0];
        blocks.map(move |block| {
            let Some((rows, chunks)) = self.split(block.sequence) else {
                return (block, None);
            };
            let place = (block.sequence, block.head / self.group());
            if place != at {
                let floats = chunks.len() * Partial::floats(rows, self.shape.dv);
                (mine, rest) = rest.split_at(floats);
                at = place;
            }
            (block, Some(mine))
        })
    }
}
