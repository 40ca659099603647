//! A block of queries from Q to O and L.

use super::ahead::{Ahead, following};
use super::tile::{Sums, find_largest};
use super::{CHUNK, Keys, ROWS, Values};
use crate::forward::{Rows, last_rows_see_most};
use crate::simd::{Block, QUERIES, Vector, unpack};
use crate::tile::{Lanes, finish, hide_outside_band};
use attention::numeric::LOG2_E;
use attention::walk::{Cover, Piece, Walk};
use attention::{Head, OutputMut, Problem, RowBlock, Scratch, Workers};
use std::iter::Peekable;
use std::ops::Range;

/// Sub-blocks of [`QUERIES`] queries in a block.
const PARTS: usize = ROWS / QUERIES;

/// Queries that are taken through a chunk at a time, so that their scores take a third of a 48 KiB L1
/// cache.
const STEP: usize = 32;

/// Working memory of one worker, in floats.
pub(crate) fn scratch_floats<K: Keys, W: Values>(d: usize, dv: usize) -> usize {
    PARTS * part_floats::<K>(d, dv)
        + CHUNK * K::key_floats(d)
        + CHUNK / 2 * W::pair_floats(dv)
        + score_floats::<K>(d)
        + d
}

/// Packed queries, Oᵀ, and five numbers a query.
fn part_floats<K: Keys>(d: usize, dv: usize) -> usize {
    K::query_floats(d) + (dv + 5) * QUERIES
}

/// The tile of scores, which also lends itself to the packing of queries.
fn score_floats<K: Keys>(d: usize) -> usize {
    (CHUNK * QUERIES).max(K::query_floats(d))
}

/// Writes O, and L where there is room for it; `run` runs each task on the instruction set it is for.
pub(crate) fn forward(
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
    floats: usize,
    offset: Offset,
    run: impl Fn(Task<'_, '_, '_>) + Sync,
) {
    let mut blocks = out.row_blocks(problem.geometry(), ROWS);
    let last_first = last_rows_see_most(problem.geometry());
    if last_first {
        blocks = blocks.last_first();
    }
    workers.run(blocks, scratch, floats, |block, memory| {
        let head = problem.head(block.sequence, block.head);
        let at = block.rows.start / ROWS;
        run(Task {
            next: following(at, head.q.nrows(), workers.threads(), last_first),
            head,
            block,
            memory,
            offset,
        });
    });
}

/// Writes the mean of keys that all queries of `rows` see `[D]`, which is then taken from every key;
/// false where there is none.
pub(crate) type Offset = fn(&Head<'_>, Range<usize>, &mut [f32]) -> bool;

/// A block of queries of one head.
pub(crate) struct Task<'h, 'o, 'm> {
    head: Head<'h>,
    /// The block that this worker most likely gets next: heads further, and its first row.
    next: (usize, usize),
    block: RowBlock<'o>,
    memory: &'m mut [f32],
    offset: Offset,
}

/// How values are weighted in pieces of which some is hidden.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weighting {
    /// As a product of matrices: hidden ones get the weight zero.
    Together,
    /// Key by key: hidden ones are left out.
    OneByOne,
}

/// [`QUERIES`] queries and what they have summed.
struct Part<'m> {
    rows: Range<usize>,
    qt: &'m mut [f32],
    /// What a score is to be multiplied with: scale·log2(e), and the query's own.
    scale: &'m mut [f32],
    sums: Sums<'m>,
}

/// The chunk of keys in hand.
struct Chunk<'m> {
    k: &'m mut [f32],
    v: &'m mut [f32],
    st: &'m mut [f32],
    offset: &'m [f32],
}

impl Task<'_, '_, '_> {
    /// Answers the block's queries.
    ///
    /// # Safety
    /// The instructions of K and W are enabled.
    #[inline(always)]
    pub(crate) unsafe fn run<K: Keys, W: Values>(self) {
        let Self {
            head,
            next,
            mut block,
            memory,
            offset,
        } = self;
        let (d, dv) = (head.q.ncols(), head.v.ncols());
        let mut memory = memory;
        let mut take = |floats: usize| {
            let (part, rest) = std::mem::take(&mut memory).split_at_mut(floats);
            memory = rest;
            part
        };
        let mut parts: [Part<'_>; PARTS] = std::array::from_fn(|p| {
            let start = (block.rows.start + p * QUERIES).min(block.rows.end);
            Part {
                rows: start..(start + QUERIES).min(block.rows.end),
                qt: take(K::query_floats(d)),
                scale: take(QUERIES),
                sums: Sums {
                    ot: take(dv * QUERIES),
                    factor: take(QUERIES),
                    max: take(QUERIES),
                    sum: take(QUERIES),
                    largest: take(QUERIES),
                },
            }
        });
        let used = block.rows.len().div_ceil(QUERIES);
        let parts = &mut parts[..used];
        let (k, v) = (
            take(CHUNK * K::key_floats(d)),
            take(CHUNK / 2 * W::pair_floats(dv)),
        );
        let (st, mean) = (take(score_floats::<K>(d)), take(d));
        let offset: &[f32] = if offset(&head, block.rows.clone(), mean) {
            mean
        } else {
            &[]
        };
        let mut chunk = Chunk { k, v, st, offset };
        let o = Rows::of(block.o.view());
        let ahead = Ahead { head, o, next };
        // SAFETY: the caller's; the memory has the sizes that the traits ask for.
        unsafe {
            for part in parts.iter_mut() {
                part.pack::<K>(&head, chunk.st);
            }
            let hidden = attend::<K, W>(&ahead, parts, &mut chunk, Weighting::Together);
            // 0·NaN is NaN, so a hidden value that is not finite leaks through the product of a tile. As
            // none comes of finite values, it shows in the sums, and the block is done again with care.
            if hidden
                && !parts
                    .iter()
                    .all(|part| part.sums.are_finite(part.rows.len()))
            {
                attend::<K, W>(&ahead, parts, &mut chunk, Weighting::OneByOne);
            }
            for part in parts.iter_mut() {
                part.write::<W::V>(&head, &mut block, offset);
            }
        }
    }
}

/// Sums up weights and weighted values; tells whether anything was hidden inside a piece.
#[inline(always)]
unsafe fn attend<K: Keys, W: Values>(
    ahead: &Ahead<'_>,
    parts: &mut [Part<'_>],
    chunk: &mut Chunk<'_>,
    weighting: Weighting,
) -> bool {
    let (head, used) = (&ahead.head, parts.len());
    let mut walks: [Option<Peekable<Walk<'_>>>; PARTS] = std::array::from_fn(|p| {
        let part = parts.get_mut(p)?;
        part.sums.clear();
        Some(Walk::new(head.mask, part.rows.clone()).peekable())
    });
    let first = parts.first().map_or(0, |part| part.rows.start);
    let last = parts.last().map_or(0, |part| part.rows.end);
    let span = head.mask.span_of(first..last);
    let mut hidden = false;
    loop {
        let next = |walk: &mut Peekable<Walk<'_>>| Some(walk.peek()?.keys.start);
        let Some(start) = walks.iter_mut().flatten().filter_map(next).min() else {
            return hidden;
        };
        let start = start / 2 * 2;
        let keys = start..(start / CHUNK * CHUNK + CHUNK).min(span.end);
        // SAFETY: the caller's; a chunk has at most CHUNK keys.
        unsafe {
            chunk.convert::<K, W>(head, keys.clone());
            let steps = span.len().div_ceil(CHUNK) * used;
            // A chunk begins at an even key, which may lie before the first.
            let done = keys.start.saturating_sub(span.start).div_ceil(CHUNK) * used;
            for (p, (part, walk)) in parts.iter_mut().zip(walks.iter_mut().flatten()).enumerate() {
                ahead.prefetch::<W::V>(keys.end..span.end, (p, used), (done + p, steps));
                while let Some(mut piece) = whole_piece(walk, keys.end) {
                    let lanes = piece.lanes.start..piece.lanes.end.min(part.rows.len());
                    for lane in lanes.clone().step_by(STEP) {
                        piece.lanes = lane..(lane + STEP).min(lanes.end);
                        hidden |= part.step::<K, W>(head, chunk, keys.start, &piece, weighting);
                    }
                }
            }
        }
    }
}

/// The next piece before key `end`, with those that only continue it.
fn whole_piece(walk: &mut Peekable<Walk<'_>>, end: usize) -> Option<Piece> {
    let mut piece = walk.next_if(|piece| piece.keys.start < end)?;
    while let Some(more) = walk.next_if(|more| {
        more.keys.start == piece.keys.end
            && more.keys.start < end
            && more.lanes == piece.lanes
            && (more.cover, piece.cover) == (Cover::All, Cover::All)
    }) {
        piece.keys.end = more.keys.end;
    }
    Some(piece)
}

impl Chunk<'_> {
    #[inline(always)]
    unsafe fn convert<K: Keys, W: Values>(&mut self, head: &Head<'_>, keys: Range<usize>) {
        let (k, v) = (Rows::of(head.k), Rows::of(head.v));
        // SAFETY: the caller's; K and V hold the keys.
        unsafe {
            K::pack_keys(
                k.block(keys.start, keys.len()),
                self.offset,
                self.k.as_mut_ptr(),
            );
            W::pack_values(v.block(keys.start, keys.len()), self.v.as_mut_ptr());
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    unsafe fn pack<K: Keys>(&mut self, head: &Head<'_>, spare: &mut [f32]) {
        let rows = Rows::of(head.q).block(self.rows.start, self.rows.len());
        let (to, factors) = (self.qt.as_mut_ptr(), self.scale.as_mut_ptr());
        // SAFETY: the caller's; Q holds the rows.
        unsafe { K::pack_queries(rows, to, factors, spare.as_mut_ptr()) };
        self.scale[self.rows.len()..].fill(0.0);
        for scale in self.scale.iter_mut() {
            *scale *= head.scale * LOG2_E;
        }
        if scores_are_scaled_first(head) {
            self.sums.factor.fill(1.0);
        } else {
            self.sums.factor.copy_from_slice(self.scale);
        }
    }

    /// One piece: scores, weights, weighted values. Tells whether some of it is hidden.
    #[inline(always)]
    unsafe fn step<K: Keys, W: Values>(
        &mut self,
        head: &Head<'_>,
        chunk: &mut Chunk<'_>,
        chunk_start: usize,
        piece: &Piece,
        weighting: Weighting,
    ) -> bool {
        let (d, dv) = (head.k.ncols(), head.v.ncols());
        let lanes = Lanes {
            first: piece.lanes.start,
            vectors: piece.lanes.len().div_ceil(W::V::LANES),
        };
        // Weights go in pairs: a piece that begins or ends within one gets a hidden key beside it.
        let first = (piece.keys.start - chunk_start) / 2;
        let before = piece.keys.start % 2;
        let keys = piece.keys.len();
        let pairs = (before + keys).div_ceil(2);
        let ragged = 2 * pairs != keys;
        // SAFETY: the caller's; lanes, keys and pairs stay within the tile, the chunk and Oᵀ.
        unsafe {
            let all = chunk.st.as_mut_ptr();
            let st = all.add(before * QUERIES);
            let at = lanes.first;
            let k = chunk
                .k
                .as_ptr()
                .add((2 * first + before) * K::key_floats(d));
            let qt = self.qt.as_ptr().add(at);
            let largest = &mut self.sums.largest[at..];
            largest.fill(f32::NEG_INFINITY);
            let largest = largest.as_mut_ptr();
            K::score(k, keys, d, qt, st.add(at), largest, lanes.vectors);
            if scores_are_scaled_first(head) {
                self.scale_scores(head, piece, st);
            }
            match piece.cover {
                Cover::All => {}
                Cover::Band => {
                    let band = piece.band(&head.mask, self.rows.start);
                    hide_outside_band::<W::V>(st, band, keys, lanes);
                }
                Cover::Pairs => hide_pairs(head, &self.rows, piece, st),
            }
            if piece.cover != Cover::All || scores_are_scaled_first(head) {
                find_largest::<W::V>(st.add(at), keys, largest, lanes.vectors);
            }
            for row in (0..before).chain(before + keys..2 * pairs) {
                std::slice::from_raw_parts_mut(all.add(row * QUERIES), QUERIES)
                    .fill(f32::NEG_INFINITY);
            }
            self.sums.exponentiate::<W>(all, pairs, at, lanes.vectors);
            let whole = piece.cover == Cover::All && !ragged;
            if whole || weighting == Weighting::Together {
                let v = chunk.v.as_ptr().add(first * W::pair_floats(dv));
                let ot = self.sums.ot.as_mut_ptr().add(at);
                W::accumulate(v, pairs, dv, all.add(at), ot, lanes.vectors);
            } else {
                self.accumulate_visible::<W>(head, piece, all, before);
            }
            !whole
        }
    }

    /// Query rows of a piece, with their lanes.
    fn queries(&self, piece: &Piece) -> impl Iterator<Item = (usize, usize)> + use<> {
        let rows = self.rows.clone();
        piece
            .lanes
            .clone()
            .map(move |lane| (lane, rows.start + lane))
    }

    /// # Safety
    /// `st` has a row of QUERIES scores for each key of the piece.
    unsafe fn scale_scores(&self, head: &Head<'_>, piece: &Piece, st: *mut f32) {
        for (row, j) in piece.keys.clone().enumerate() {
            for (lane, i) in self.queries(piece) {
                let bias = head.bias.map_or(0.0, |bias| bias.at(i, j) * LOG2_E);
                // SAFETY: the caller's.
                unsafe {
                    let s = st.add(row * QUERIES + lane);
                    *s = *s * self.scale[lane] + bias;
                }
            }
        }
    }

    /// Oᵀ += Vᵀ·Pᵀ over the visible keys alone.
    ///
    /// # Safety
    /// `st` has stored weights for `before` and the keys of the piece.
    unsafe fn accumulate_visible<W: Values>(
        &mut self,
        head: &Head<'_>,
        piece: &Piece,
        st: *const f32,
        before: usize,
    ) {
        for (lane, i) in self.queries(piece) {
            for (row, j) in piece.keys.clone().enumerate() {
                if head.mask.visible(i, j) {
                    // SAFETY: the caller's.
                    let p = unsafe { W::weight(st.add(lane), before + row) };
                    let o = self.sums.ot.chunks_exact_mut(QUERIES);
                    for (o, v) in o.zip(head.v.row(j)) {
                        o[lane] += p * W::rounded(*v);
                    }
                }
            }
        }
    }

    /// O = Oᵀᵀ / sum and L; a query that sees nothing gets 0 and -inf.
    ///
    /// # Safety
    /// V's instructions are enabled.
    #[inline(always)]
    unsafe fn write<V: Vector>(
        &mut self,
        head: &Head<'_>,
        block: &mut RowBlock<'_>,
        offset: &[f32],
    ) {
        let (mask, rows) = (head.mask, self.rows.clone());
        let (max, sum) = (&mut *self.sums.max, &mut *self.sums.sum);
        finish(max, sum, rows.len(), |lane| {
            mask.count(rows.start + lane) == 0
        });
        let first = rows.start - block.rows.start;
        let o = &mut block.o;
        let stride = o.strides()[0].unsigned_abs();
        // SAFETY: the caller's; O's rows are contiguous, Oᵀ has a row for each of Dv, and the block
        // holds the part's rows.
        unsafe {
            let to = Block {
                stride,
                rows: rows.len(),
                width: o.ncols(),
                at: o.as_mut_ptr().add(first * stride),
            };
            unpack::<V>(self.sums.ot.as_ptr(), sum.as_ptr(), to);
        }
        if let Some(lse) = &mut block.lse {
            for (lane, i) in rows.enumerate() {
                let taken: f32 = head.q.row(i).iter().zip(offset).map(|(q, m)| q * m).sum();
                lse[first + lane] = max[lane] + head.scale * taken;
            }
        }
    }
}

/// Whether scores get their scale before the maximum is taken, in a pass of their own: with a bias, or
/// where the scale turns their order round.
fn scores_are_scaled_first(head: &Head<'_>) -> bool {
    head.bias.is_some() || head.scale.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater)
}

/// Scores of hidden keys become -inf, whatever they were.
///
/// # Safety
/// `st` has a row of QUERIES scores for each key of the piece.
unsafe fn hide_pairs(head: &Head<'_>, rows: &Range<usize>, piece: &Piece, st: *mut f32) {
    for (row, j) in piece.keys.clone().enumerate() {
        for lane in piece.lanes.clone() {
            if !head.mask.visible(rows.start + lane, j) {
                // SAFETY: the caller's.
                unsafe { st.add(row * QUERIES + lane).write(f32::NEG_INFINITY) };
            }
        }
    }
}
