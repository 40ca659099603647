//! The walk of a block of queries over the pieces of the score matrix that it may see.

use crate::decode::{self, Plan};
use crate::simd::{
    Block, DROP_FLOATS, Drop, Isa, Kernel, QUERIES, Vector, dispatch, pack, prefetch_rows, unpack,
};
use crate::tile::{Degree, Groups, Lanes, Tiles, finish, hide_outside_band};
use attention::mask::Part;
use attention::numeric::LOG2_E;
use attention::walk::{Cover, KEYS, Piece, Walk};
use attention::{Geometry, Head, OutputMut, Problem, RowBlock, Scratch, Shape, Workers};
use ndarray::ArrayView2;
use std::ops::Range;

/// How a call is computed, whatever the problem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) isa: Isa,
    /// Of 2^x in tiles; few queries over many keys take the best there is.
    pub(crate) degree: Degree,
}

impl From<Isa> for How {
    fn from(isa: Isa) -> Self {
        Self {
            isa,
            degree: Degree::Five,
        }
    }
}

/// Working memory of one worker that computes tiles, in floats.
fn tile_floats(shape: &Shape) -> usize {
    Tiles::floats(shape.d, shape.dv) + DROP_FLOATS
}

/// Working memory in bytes of a call on `threads` workers.
pub(crate) fn scratch_bytes(geometry: &Geometry, threads: usize) -> u64 {
    let own = tile_floats(geometry.shape());
    decode::plan(geometry, decode::FEW).bytes(own, threads)
}

/// Writes O, and L where there is room for it.
pub(crate) fn forward(
    how: How,
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let geometry = problem.geometry();
    // Tiles alone drop weights.
    let few = problem.dropout().map_or(decode::FEW, |_| 0);
    let plan = decode::plan(geometry, few);
    let mut blocks = out.row_blocks(geometry, QUERIES);
    let grows = last_rows_see_most(geometry);
    if grows {
        blocks = blocks.last_first();
    }
    let head = |sequence, head| problem.head(sequence, head);
    answer(how, problem, &plan, head, (blocks, grows), workers, scratch);
}

/// Writes O, and L where there is room for it, for `blocks` of up to [`QUERIES`] queries each, in the
/// order of histories and heads, and whether the last of a head comes first: from `source` where the
/// plan splits a history, else from `head`.
pub(crate) fn answer<'h, 'o, S: decode::Source>(
    how: How,
    source: &S,
    plan: &Plan<impl Fn(usize) -> (usize, Range<usize>) + Sync>,
    head: impl Fn(usize, usize) -> Head<'h> + Sync,
    (blocks, last_first): (impl Iterator<Item = RowBlock<'o>> + Send, bool),
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let own = tile_floats(&plan.shape);
    let (partials, floats, parts) = plan.memory(own, workers.threads(), scratch);
    if !partials.is_empty() {
        let parts = parts.chunks_exact_mut(floats);
        decode::chunks(how.isa, source, plan, partials, workers, parts);
    }
    let blocks = plan.with_partials(blocks, partials);
    let parts = parts.chunks_exact_mut(floats);
    workers.run_on(blocks, parts, |(mut block, partials), memory| {
        if let Some(partials) = partials {
            let mask = source.asked(block.sequence, block.head).mask;
            decode::merge(partials, source.group(), &mask, &mut block);
            return;
        }
        let head = head(block.sequence, block.head);
        let (keys, memory) = memory[..own].split_at_mut(DROP_FLOATS);
        let rows = block.rows.clone();
        let drop = head.dropout.map(|drop| Drop::of(&drop, rows, keys));
        let tiles = Tiles::new(memory, head.q.ncols(), head.v.ncols());
        let opens_head = if last_first {
            block.rows.end == head.q.nrows()
        } else {
            block.rows.start == 0
        };
        let task = Task {
            head,
            block,
            drop,
            degree: how.degree,
            tiles,
            fetches: opens_head || outgrow_cache(&head),
        };
        dispatch(how.isa, task);
    });
}

/// Bytes of keys and values of a head that stay in a common last-level cache from block to block, others
/// using it too. Up to there hardware fetches as well by itself, and asking costs 2 to 4 %; with 32 MiB of
/// keys and values in a cache of that size asking saves a quarter.
const CACHED: usize = 12 << 20;

/// Whether a head has more keys and values than stay in the cache.
fn outgrow_cache(head: &Head<'_>) -> bool {
    (head.k.len() + head.v.len()) * size_of::<f32>() > CACHED
}

/// Whether work grows with the row, as under a causal mask: then workers that take the last rows first
/// end together.
pub(crate) fn last_rows_see_most(geometry: &Geometry) -> bool {
    geometry
        .mask()
        .parts()
        .iter()
        .any(|part| matches!(part, Part::Causal(_)))
}

/// A block of queries of one head.
struct Task<'h, 'o, 'm> {
    head: Head<'h>,
    block: RowBlock<'o>,
    /// Dropout's choices for the block.
    drop: Option<Drop>,
    degree: Degree,
    tiles: Tiles<'m>,
    /// Whether keys and values have to be fetched ahead: in the first block of a head, which finds them
    /// in no cache, and where a head has more of them than the cache holds.
    fetches: bool,
}

impl Kernel for Task<'_, '_, '_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        // SAFETY: V's instructions are enabled where this runs, and Qᵀ has a row for each of D.
        unsafe {
            let rows = Rows::of(self.head.q).block(self.block.rows.start, self.block.rows.len());
            let factor = self.head.scale * LOG2_E;
            pack::<V>(rows, factor, self.tiles.qt.as_mut_ptr());
        }
        self.prefetch_ahead::<V>();
        // 0·NaN is NaN, so a hidden value that is not finite leaks through the product of a tile. As
        // none comes of finite values, it shows in the sums, and the block is done again with care.
        for values in [Values::Together, Values::OneByOne] {
            let hidden = self.attend::<V>(values);
            if !hidden || self.tiles.are_finite(self.block.rows.len()) {
                break;
            }
        }
        self.write::<V>();
    }
}

/// How values are weighted in pieces of which some is hidden.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// As a product of matrices: hidden ones get the weight zero.
    Together,
    /// Key by key: hidden ones are left out.
    OneByOne,
}

impl Task<'_, '_, '_> {
    /// What is read or written next: rows of O, the following queries, and at the end of a head the
    /// keys and values of the following one. Rows behind the last are most likely the next head's.
    #[inline(always)]
    fn prefetch_ahead<V: Vector>(&self) {
        let rows = self.block.rows.end;
        let o = self.block.o.view();
        prefetch_rows::<V>(Rows::of(o).ahead(0, o.nrows()));
        prefetch_rows::<V>(Rows::of(self.head.q).ahead(rows, QUERIES));
        if rows == self.head.q.nrows() {
            let (k, v) = (Rows::of(self.head.k), Rows::of(self.head.v));
            prefetch_rows::<V>(k.ahead(self.head.k.nrows(), KEYS));
            prefetch_rows::<V>(v.ahead(self.head.v.nrows(), KEYS));
        }
    }

    /// Sums up weights and weighted values; tells whether anything was hidden inside a piece.
    #[inline(always)]
    fn attend<V: Vector>(&mut self, values: Values) -> bool {
        let head = self.head;
        let (k, v) = (Rows::of(head.k), Rows::of(head.v));
        let mut hidden = false;
        let mut seen = Groups::NONE;
        for piece in Walk::new(head.mask, self.block.rows.clone()) {
            let lanes = self.lanes::<V>(&piece);
            let (first, keys) = (piece.keys.start, piece.keys.len());
            let groups = Groups::of(&piece.lanes);
            // What nobody has summed into need not be cleared, loaded and rescaled.
            let fresh = groups.without(seen) == groups && values == Values::Together;
            if !fresh {
                self.tiles.clear(groups.without(seen));
            }
            seen = seen.with(groups);
            // SAFETY: V's instructions are enabled where this runs; k and v hold the piece's keys.
            unsafe {
                // One tile ahead of their use: values while scores are made, then the next keys.
                if self.fetches {
                    prefetch_rows::<V>(v.ahead(first, keys));
                }
                self.tiles.score::<V>(k.at(first), k.stride, keys, lanes);
                if self.fetches {
                    prefetch_rows::<V>(k.ahead(piece.keys.end, KEYS));
                }
                if head.bias.is_some() {
                    self.add_bias(&piece);
                }
                match piece.cover {
                    Cover::All => {}
                    Cover::Band => {
                        let band = piece.band(&head.mask, self.block.rows.start);
                        let st = self.tiles.st.as_mut_ptr();
                        hide_outside_band::<V>(st, band, keys, lanes);
                    }
                    Cover::Pairs => self.hide_pairs(&piece),
                }
                hidden |= piece.cover != Cover::All;
                self.tiles
                    .exponentiate::<V>(keys, lanes, fresh, self.degree);
                if let Some(drop) = &self.drop {
                    self.tiles
                        .drop_weights::<V>(drop, piece.keys.clone(), lanes);
                }
                if piece.cover == Cover::All || values == Values::Together {
                    self.tiles
                        .accumulate::<V>(v.at(first), v.stride, keys, lanes, fresh);
                } else {
                    self.accumulate_visible(&piece);
                }
            }
        }
        self.tiles.clear(Groups::ALL.without(seen));
        hidden
    }

    /// The vectors that hold a piece's queries.
    #[inline(always)]
    fn lanes<V: Vector>(&self, piece: &Piece) -> Lanes {
        let end = piece.lanes.end.min(self.block.rows.len());
        Lanes {
            first: piece.lanes.start,
            vectors: (end - piece.lanes.start).div_ceil(V::LANES),
        }
    }

    /// Query rows of the piece, with their lanes.
    fn queries(&self, piece: &Piece) -> impl Iterator<Item = (usize, usize)> + use<> {
        let rows = self.block.rows.clone();
        let lanes = piece.lanes.start..piece.lanes.end.min(rows.len());
        lanes.map(move |lane| (lane, rows.start + lane))
    }

    fn add_bias(&mut self, piece: &Piece) {
        let Some(bias) = self.head.bias else { return };
        let queries = self.queries(piece);
        for (lane, i) in queries {
            for (s, j) in self
                .tiles
                .st
                .chunks_exact_mut(QUERIES)
                .zip(piece.keys.clone())
            {
                s[lane] += bias.at(i, j) * LOG2_E;
            }
        }
    }

    /// Scores of hidden keys become -inf, whatever they were.
    fn hide_pairs(&mut self, piece: &Piece) {
        for (lane, i) in self.queries(piece) {
            for (s, j) in self
                .tiles
                .st
                .chunks_exact_mut(QUERIES)
                .zip(piece.keys.clone())
            {
                if !self.head.mask.visible(i, j) {
                    s[lane] = f32::NEG_INFINITY;
                }
            }
        }
    }

    /// Oᵀ += Vᵀ·Pᵀ over the visible keys alone.
    fn accumulate_visible(&mut self, piece: &Piece) {
        for (lane, i) in self.queries(piece) {
            for (p, j) in self.tiles.st.chunks_exact(QUERIES).zip(piece.keys.clone()) {
                if self.head.mask.visible(i, j) {
                    let o = self.tiles.ot.chunks_exact_mut(QUERIES);
                    for (o, v) in o.zip(self.head.v.row(j)) {
                        o[lane] += p[lane] * v;
                    }
                }
            }
        }
    }

    /// O = Oᵀᵀ / sum and L; a query that sees nothing gets 0 and -inf.
    #[inline(always)]
    fn write<V: Vector>(&mut self) {
        let (mask, rows) = (self.head.mask, self.block.rows.clone());
        let (max, sum) = (&mut *self.tiles.max, &mut *self.tiles.sum);
        finish(max, sum, rows.len(), |lane| {
            mask.count(rows.start + lane) == 0
        });
        let o = &mut self.block.o;
        let to = Block {
            stride: o.strides()[0].unsigned_abs(),
            rows: o.nrows(),
            width: o.ncols(),
            at: o.as_mut_ptr(),
        };
        // SAFETY: V's instructions are enabled where this runs; O's rows are contiguous and Oᵀ has a
        // row for each of Dv.
        unsafe { unpack::<V>(self.tiles.ot.as_ptr(), self.tiles.sum.as_ptr(), to) };
        if let Some(lse) = &mut self.block.lse {
            for (l, max) in lse.iter_mut().zip(self.tiles.max.iter()) {
                *l = *max;
            }
        }
    }
}

/// A matrix by its rows: where they start and how far they are apart.
pub(crate) struct Rows {
    first: *const f32,
    stride: usize,
    rows: usize,
    width: usize,
}

impl Rows {
    /// Rows are contiguous: a problem copies tensors that are not.
    pub(crate) fn of(view: ArrayView2<'_, f32>) -> Self {
        // Rows run forwards wherever there is more than one of them to step between.
        Self {
            first: view.as_ptr(),
            stride: view.strides()[0].unsigned_abs(),
            rows: view.nrows(),
            width: view.ncols(),
        }
    }

    fn at(&self, row: usize) -> *const f32 {
        self.first.wrapping_add(row * self.stride)
    }

    /// Up to `rows` rows from `first` on, as many as there are.
    pub(crate) fn block(&self, first: usize, rows: usize) -> Block<*const f32> {
        Block {
            at: self.at(first),
            stride: self.stride,
            rows: rows.min(self.rows.saturating_sub(first)),
            width: self.width,
        }
    }

    /// `rows` rows from `first` on to prefetch, whether the matrix has them or not: what follows it in
    /// memory is most likely the next head's.
    pub(crate) fn ahead(&self, first: usize, rows: usize) -> Block<*const f32> {
        Block {
            rows,
            ..self.block(first, rows)
        }
    }
}
