//! How a problem is cut into tasks: by its sizes and mask alone, never by the number of threads.

use super::map::CHUNK;
use attention::Geometry;
use attention::mask::SequenceMask;
use std::ops::Range;

/// With this many (history, key head) pairs, each is one task; with fewer, histories are cut.
const ENOUGH: usize = 8;

/// Queries of a task, and most keys of a partial state, where histories are cut: long enough that
/// a state (written and merged once a cut) costs little beside its keys.
const SEGMENT: usize = 512;

/// The cut of one problem.
#[derive(Clone, Copy)]
pub(super) struct Plan<'g> {
    geometry: &'g Geometry,
    /// Most queries of a task.
    rows: usize,
    /// Most queries of a chunk where not all see the same keys.
    step: usize,
}

/// One task: a run of queries of one history, in all heads that share a key head.
#[derive(Clone, Copy)]
pub(super) struct Task<'g> {
    pub(super) history: History<'g>,
    pub(super) sequence: usize,
    pub(super) key_head: usize,
    pub(super) segment: usize,
    /// Partial states of the histories and key heads before.
    pub(super) slots: usize,
    /// Tasks of the histories and key heads before.
    pub(super) before: usize,
}

/// Queries that are answered together, and the keys that they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The first query.
    pub(super) first: usize,
    /// Queries: at most [`CHUNK`].
    pub(super) count: usize,
    /// Keys that were in the state for the query before.
    pub(super) held: usize,
    /// Keys that are to be in the state: those that all of these queries see, where there would be
    /// more than [`CHUNK`] keys inside otherwise.
    pub(super) known: usize,
    /// Keys that the last query sees.
    pub(super) last: usize,
}

impl Chunk {
    /// Its queries.
    pub(super) fn queries(&self) -> Range<usize> {
        self.first..self.first + self.count
    }

    /// Keys that are seen by some of its queries, and are not in the state.
    pub(super) fn inside(&self) -> Range<usize> {
        self.known..self.last
    }
}

impl<'g> Plan<'g> {
    pub(super) fn of(geometry: &'g Geometry) -> Self {
        let shape = geometry.shape();
        let few = shape.b * shape.hkv < ENOUGH;
        let rows = if few { SEGMENT } else { usize::MAX };
        Self {
            geometry,
            rows,
            step: CHUNK,
        }
    }

    /// The same for features of that width: a triangle costs C²·(m + Dv), writing to the state m·Dv once
    /// a chunk, so that few features do with half the chunk.
    pub(super) fn for_width(self, width: usize) -> Self {
        Self {
            step: if width <= 2 * CHUNK { CHUNK / 2 } else { CHUNK },
            ..self
        }
    }

    pub(super) fn history(&self, sequence: usize) -> History<'g> {
        let mask = self.geometry.sequence(sequence);
        let long = mask.queries().max(mask.keys()) > SEGMENT;
        History {
            mask,
            rows: if long { self.rows } else { usize::MAX },
            step: self.step,
        }
    }

    /// (history, key head) pairs, with the number of partial states before each.
    pub(super) fn pairs(&self) -> impl Iterator<Item = Task<'g>> + Clone + Send + use<'g> {
        let plan = *self;
        let (b, hkv) = (self.geometry.shape().b, self.geometry.shape().hkv);
        (0..b * hkv).scan((0, 0), move |(slots, before), pair| {
            let task = Task {
                history: plan.history(pair / hkv),
                sequence: pair / hkv,
                key_head: pair % hkv,
                segment: 0,
                slots: *slots,
                before: *before,
            };
            *slots += task.history.pieces();
            *before += task.history.segments();
            Some(task)
        })
    }

    /// Every task, in the order of the tensors.
    pub(super) fn tasks(&self) -> impl Iterator<Item = Task<'g>> + Clone + Send + use<'g> {
        self.pairs().flat_map(|pair| {
            (0..pair.history.segments()).map(move |segment| Task { segment, ..pair })
        })
    }

    /// Whether some history is cut.
    pub(super) fn is_cut(&self) -> bool {
        self.slots() > 0
    }

    /// Whether the sum over a task's queries is kept for its keys: where others need it, or where one
    /// walk makes it beside dQ.
    pub(super) fn keeps_sums(&self) -> bool {
        self.is_cut() || (0..self.geometry.shape().b).any(|s| self.history(s).all_see_the_same())
    }

    /// The tasks of the keys that all queries of a cut history see.
    pub(super) fn base_pieces(&self) -> impl Iterator<Item = Task<'g>> + Clone + Send + use<'g> {
        self.pairs().flat_map(|pair| {
            (0..pair.history.base_pieces()).map(move |segment| Task { segment, ..pair })
        })
    }

    /// The same problem with every history whole.
    pub(super) fn whole(geometry: &'g Geometry) -> Self {
        Self {
            geometry,
            rows: usize::MAX,
            step: CHUNK,
        }
    }

    /// Every partial state to make, as tasks whose segment is the piece of keys.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Task<'g>> + Clone + Send + use<'g> {
        self.pairs().flat_map(|pair| {
            (0..pair.history.pieces()).map(move |segment| Task { segment, ..pair })
        })
    }

    /// Partial states over all histories and key heads.
    pub(super) fn slots(&self) -> usize {
        let hkv = self.geometry.shape().hkv;
        let pieces = (0..self.geometry.shape().b).map(|s| self.history(s).pieces());
        pieces.sum::<usize>() * hkv
    }

    /// Most tasks that can run at the same time.
    pub(super) fn width(&self) -> usize {
        let hkv = self.geometry.shape().hkv;
        let histories = (0..self.geometry.shape().b).map(|s| self.history(s));
        hkv * histories
            .map(|h| h.segments().max(h.pieces()))
            .sum::<usize>()
    }
}

/// One history, cut.
#[derive(Clone, Copy)]
pub(super) struct History<'g> {
    pub(super) mask: SequenceMask<'g>,
    /// Most queries of a segment.
    rows: usize,
    step: usize,
}

impl History<'_> {
    /// Keys before the end of what query i sees.
    pub(super) fn end(&self, i: usize) -> usize {
        self.mask.span(i).end
    }

    /// Keys of the history, padding left out.
    pub(super) fn length(&self) -> usize {
        self.mask.band().2
    }

    /// Keys that no condition hides from all queries.
    pub(super) fn keys(&self) -> usize {
        self.mask
            .queries()
            .checked_sub(1)
            .map_or(0, |i| self.end(i))
    }

    /// Runs of queries that are answered by themselves.
    pub(super) fn segments(&self) -> usize {
        self.mask.queries().div_ceil(self.rows)
    }

    /// Queries of a segment.
    pub(super) fn segment(&self, segment: usize) -> Range<usize> {
        let first = segment * self.rows;
        first..self.mask.queries().min(first.saturating_add(self.rows))
    }

    /// Queries of a range that see nothing.
    pub(super) fn blind(&self, queries: Range<usize>) -> Range<usize> {
        let first = queries.clone().find(|&i| self.end(i) > 0);
        queries.start..first.unwrap_or(queries.end)
    }

    /// Most queries of a chunk.
    pub(super) fn step(&self) -> usize {
        if self.all_see_the_same() {
            CHUNK
        } else {
            self.step
        }
    }

    /// The other queries of a segment in chunks.
    pub(super) fn chunks(
        &self,
        segment: usize,
    ) -> impl DoubleEndedIterator<Item = (usize, Chunk)> + '_ {
        let (queries, known) = (self.segment(segment), self.known(segment));
        let start = self.blind(queries.clone()).end;
        let step = self.step();
        let count = (queries.end - start).div_ceil(step);
        (0..count).map(move |n| {
            let first = start + n * step;
            let end = queries.end.min(first + step);
            let held = match n {
                0 => known,
                _ => self.end(first - 1).max(known),
            };
            let last = self.end(end - 1);
            let chunk = Chunk {
                first,
                count: end - first,
                held,
                known: if last - held > CHUNK {
                    self.end(first)
                } else {
                    held
                },
                last,
            };
            (n, chunk)
        })
    }

    /// What the queries of a chunk see, one by one.
    pub(super) fn ends(&self, chunk: &Chunk) -> [usize; CHUNK] {
        let mut ends = [0; CHUNK];
        let pairs = chunk.queries().zip(&mut ends);
        pairs.for_each(|(i, end)| *end = self.end(i));
        ends
    }

    /// Keys that all queries see: in the state before the first of them, where they are many or
    /// where there are no others.
    pub(super) fn base(&self) -> usize {
        if self.mask.queries() == 0 {
            return 0;
        }
        let first = self.end(0);
        if first == self.keys() || first > CHUNK {
            first
        } else {
            0
        }
    }

    /// Whether all queries see the same keys.
    pub(super) fn all_see_the_same(&self) -> bool {
        self.mask.queries() > 0 && self.base() == self.keys()
    }

    /// Keys that are in the state when a segment begins.
    pub(super) fn known(&self, segment: usize) -> usize {
        match self.segment(segment).start {
            0 => self.base(),
            first => self.end(first - 1).max(self.base()),
        }
    }

    /// Partial states of the keys that all queries see.
    pub(super) fn base_pieces(&self) -> usize {
        if self.segments() < 2 && self.base() <= SEGMENT || self.rows == usize::MAX {
            0
        } else {
            self.base().div_ceil(SEGMENT)
        }
    }

    /// Partial states: those of the keys that all queries see, then one for each segment but the
    /// last.
    pub(super) fn pieces(&self) -> usize {
        self.base_pieces() + self.segments().saturating_sub(1)
    }

    /// The keys of a partial state.
    pub(super) fn piece(&self, piece: usize) -> Range<usize> {
        let base = self.base_pieces();
        if piece < base {
            piece * SEGMENT..self.base().min((piece + 1) * SEGMENT)
        } else {
            self.known(piece - base)..self.known(piece - base + 1)
        }
    }

    /// The partial state that a segment begins with, once those before are added to it.
    pub(super) fn slot(&self, segment: usize) -> Option<usize> {
        (self.base_pieces() + segment).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention::Shape;
    use attention::mask::{Alignment, Mask};

    fn of(nq: usize, nk: usize, mask: Mask) -> Vec<usize> {
        let shape = Shape {
            nk,
            ..Shape::square(1, 1, nq, 4)
        };
        let geometry = Geometry::padded(shape, mask).unwrap();
        let history = Plan::of(&geometry).history(0);
        let pieces: Vec<_> = (0..history.pieces()).map(|p| history.piece(p)).collect();
        let mut at = 0;
        for piece in &pieces {
            assert_eq!(piece.start, at, "pieces lie end to end");
            at = piece.end;
        }
        for segment in 0..history.segments() {
            let known = history.slot(segment).map_or(0, |p| pieces[p].end);
            assert!(known == history.known(segment) || history.slot(segment).is_none());
        }
        pieces.iter().map(|p| p.end).collect()
    }

    #[test]
    fn a_full_mask_is_cut_by_its_keys() {
        assert_eq!(
            of(2000, 1300, Mask::full()),
            [512, 1024, 1300, 1300, 1300, 1300]
        );
        assert!(of(100, 0, Mask::full()).is_empty());
    }

    #[test]
    fn a_causal_mask_is_cut_where_query_blocks_begin() {
        let causal = Mask::causal;
        assert_eq!(of(1300, 1300, causal(Alignment::TopLeft)), [512, 1024]);
        let late = of(10, 1300, causal(Alignment::BottomRight));
        assert_eq!(late, [512, 1024, 1291], "few queries behind many keys");
        assert_eq!(of(1300, 700, causal(Alignment::TopLeft)), [512, 700]);
    }
}
