//! One task: a run of queries of the heads that share a key head, scanned in chunks.
//!
//! The state holds the keys that came before a chunk; what queries see of the keys inside it comes
//! from the triangle of φ(Q)φ(K)ᵀ. Hidden entries of a triangle are zero, which hides a key unless it
//! is not finite, or unless its features are beyond the units of the state: such a chunk goes token
//! by token, each query when the state holds the keys that it sees and no other.

use super::engine::Engine;
use super::kernels::{
    Ahead, LANES, add_dots, add_product, are_finite, columns, load_rows, mask_rows, rows, rows_mut,
    scale_rows_to, set_product, transpose,
};
use super::map::{CHUNK, LEAST_NORM, Normaliser, Side, Tokens};
use super::plan::History;
use super::sheet::Sheet;
use super::state::{Sizes, State};
use super::units;
use attention::Head;
use attention::simd::Isa;
use ndarray::ArrayView2;
use std::ops::Range;

/// A worker's memory.
pub(super) struct Scan<'s, 'e> {
    engine: &'e Engine<'e>,
    sizes: Sizes,
    key_head: usize,
    /// Keys of the history.
    keys: usize,
    /// Where the first of the keys that it is given stands.
    start: usize,
    pub(super) state: State<'s>,
    /// Q or K `[C, D]`.
    x: &'s mut [f32],
    /// φ(K) `[C, m]`.
    phi_k: &'s mut [f32],
    /// φ(K)ᵀ `[m, C]`.
    across: &'s mut [f32],
    /// V `[C, Dv]`.
    v: &'s mut [f32],
    /// Largest log2 φ of the chunk's keys `[m]`.
    peaks: &'s mut [f32],
    /// φ(Q) `[C, m]`.
    phi_q: &'s mut [f32],
    /// φ(Q)φ(K)ᵀ `[C, C]`.
    products: &'s mut [f32],
    /// O before it is divided `[C, Dv]`.
    sums: &'s mut [f32],
    work: &'s mut [f32],
    /// Rows whose normaliser was guarded.
    pub(super) guarded: u64,
}

fn parts(s: Sizes) -> [usize; 9] {
    [
        s.token() * CHUNK,
        s.feature() * CHUNK,
        s.width() * CHUNK,
        s.value() * CHUNK,
        s.feature(),
        s.feature() * CHUNK,
        CHUNK * CHUNK,
        s.value() * CHUNK,
        s.extent.work,
    ]
}

impl<'s, 'e> Scan<'s, 'e> {
    /// Floats that a worker needs.
    pub(super) fn floats(sizes: Sizes) -> usize {
        sizes.state() + parts(sizes).iter().sum::<usize>()
    }

    /// Lays a worker's memory out in `buffer`, with the state of no keys.
    pub(super) fn new(
        engine: &'e Engine<'e>,
        sizes: Sizes,
        key_head: usize,
        keys: usize,
        buffer: &'s mut [f32],
    ) -> Self {
        let (state, rest) = buffer.split_at_mut(sizes.state());
        let mut state = State::over(state, sizes);
        state.clear();
        Self::over(engine, state, (key_head, 0, keys), rest)
    }

    /// The same with a state that holds the keys before `start`: those that it is given come behind.
    /// It needs a state less of memory.
    pub(super) fn over(
        engine: &'e Engine<'e>,
        state: State<'s>,
        (key_head, start, keys): (usize, usize, usize),
        buffer: &'s mut [f32],
    ) -> Self {
        let sizes = state.sizes;
        let mut rest = buffer;
        let mut parts = parts(sizes).map(|n| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(n);
            rest = after;
            part
        });
        let mut next = parts.iter_mut().map(std::mem::take);
        let mut next = || next.next().unwrap_or_default();
        Self {
            engine,
            sizes,
            key_head,
            keys,
            start,
            state,
            x: next(),
            phi_k: next(),
            across: next(),
            v: next(),
            peaks: next(),
            phi_q: next(),
            products: next(),
            sums: next(),
            work: next(),
            guarded: 0,
        }
    }

    /// Adds the keys of a range to the state.
    pub(super) fn absorb(&mut self, head: &Head<'_>, keys: Range<usize>) {
        let mut at = keys.start;
        while at < keys.end {
            let n = CHUNK.min(keys.end - at);
            self.load_keys(head, at..at + n);
            if self.engine.extent.logarithmic {
                self.raise(n);
                self.exponentiate(n);
            }
            let next = at + n..keys.end.min(at + n + CHUNK);
            let next = ahead(head.k, next.clone()).and(ahead(head.v, next));
            self.absorb_loaded(n, next);
            at += n;
        }
    }

    /// Answers the queries of a segment in all heads of a group, when the keys before it are in the
    /// state.
    pub(super) fn answer<'h>(
        &mut self,
        heads: impl Iterator<Item = Head<'h>> + Clone,
        history: &History<'_>,
        segment: usize,
        out: &Sheet<'_>,
    ) {
        let Some(lead) = heads.clone().next() else {
            return;
        };
        for head in heads.clone() {
            out.clear(
                head.sequence,
                head.head,
                history.blind(history.segment(segment)),
            );
        }
        for (_, chunk) in history.chunks(segment) {
            self.absorb(&lead, chunk.held..chunk.known);
            let (ends, inside) = (&history.ends(&chunk)[..chunk.count], chunk.inside());
            if inside.is_empty() || self.load_chunk(&lead, inside.clone(), ends[0]) {
                for head in heads.clone() {
                    self.answer_chunk(&head, chunk.first, ends, inside.clone(), out);
                }
                if !inside.is_empty() {
                    let next = ahead(lead.k, inside.end..inside.end + inside.len());
                    self.absorb_loaded(inside.len(), next);
                    if self.engine.extent.logarithmic {
                        self.state.raise(self.peaks);
                    }
                }
            } else {
                let mut known = inside.start;
                for (r, &end) in ends.iter().enumerate() {
                    self.absorb(&lead, known..end);
                    known = end;
                    for head in heads.clone() {
                        self.answer_chunk(&head, chunk.first + r, &[end], end..end, out);
                    }
                }
            }
        }
    }

    /// Loads keys of which those before `seen` are seen by all queries of the chunk; `false` where
    /// they cannot be answered from a triangle.
    fn load_chunk(&mut self, head: &Head<'_>, keys: Range<usize>, seen: usize) -> bool {
        let (isa, n) = (self.engine.isa, keys.len());
        let finite = self.load_keys(head, keys.clone());
        let (feature, width) = (self.sizes.feature(), self.sizes.width());
        if !finite || !are_finite(isa, rows(self.phi_k, feature), (n, width)) {
            return false;
        }
        if self.engine.extent.logarithmic {
            self.raise(seen.saturating_sub(keys.start));
            units::peaks(isa, rows(self.phi_k, feature), n, self.peaks);
            if units::outgrow(self.peaks, self.state.tops, width) {
                return false;
            }
            self.exponentiate(n);
        }
        transpose(
            isa,
            rows(self.phi_k, feature),
            (n, width),
            rows_mut(self.across, CHUNK),
        );
        true
    }

    /// Loads keys and values of one chunk, and the features of its keys; whether the values are
    /// finite.
    fn load_keys(&mut self, head: &Head<'_>, keys: Range<usize>) -> bool {
        let (isa, stride) = (self.engine.isa, self.sizes.value());
        load(isa, head.k, keys.clone(), self.x, self.sizes.token());
        let finite = load(isa, head.v, keys.clone(), self.v, stride);
        let standing = Standing::keys(self.start + keys.start..self.start + keys.end);
        let tokens = standing.tokens(self.key_head, self.keys, self.x);
        let map = self.engine.map;
        map.features(isa, &tokens, self.work, self.phi_k);
        finite
    }

    fn absorb_loaded(&mut self, n: usize, next: Ahead) {
        let (isa, normaliser) = (self.engine.isa, self.engine.extent.normaliser);
        let keys = (&*self.phi_k, &*self.v, n);
        self.state.absorb(isa, keys, normaliser, next);
    }

    /// Raises the units to what the first `n` loaded keys need.
    fn raise(&mut self, n: usize) {
        let phi = rows(self.phi_k, self.sizes.feature());
        units::peaks(self.engine.isa, phi, n, self.peaks);
        self.state.raise(self.peaks);
    }

    fn exponentiate(&mut self, n: usize) {
        let (isa, width) = (self.engine.isa, self.sizes.width());
        units::exponentiate(isa, self.phi_k, n, width, self.state.tops);
    }

    /// Answers queries from `first` on that see keys up to `ends`, of which `inside` are loaded and
    /// those before are in the state.
    pub(super) fn answer_chunk(
        &mut self,
        head: &Head<'_>,
        first: usize,
        ends: &[usize],
        inside: Range<usize>,
        out: &Sheet,
    ) {
        let (isa, s, n) = (self.engine.isa, self.sizes, ends.len());
        self.load_queries(head, first, ends);
        let phi_q = rows(self.phi_q, s.feature());
        let state = rows(self.state.values, s.value());
        let sizes = (n, s.width(), s.value());
        let sums = rows_mut(self.sums, s.value());
        let slots = out.ahead(head.sequence, head.head, first, n);
        let mut next = ahead(head.q, first + n..first + 2 * n);
        if inside.is_empty() {
            next = next.and(slots);
        }
        set_product(isa, phi_q.left(), state, sizes, sums, next);

        let mut totals = [0.0; CHUNK];
        let totals = &mut totals[..n];
        if !inside.is_empty() {
            let mut seen = [0; CHUNK];
            ends.iter()
                .zip(&mut seen)
                .for_each(|(e, s)| *s = e - inside.start);
            triangle(
                isa,
                (phi_q, rows(self.across, CHUNK), s.width()),
                &seen[..n],
                (self.products, &[0.0; CHUNK], totals),
                ahead(head.v, inside.end..inside.end + inside.len()),
            );
            let v = rows(self.v, s.value());
            for (group, seen) in seen[..n].chunks(LANES).enumerate() {
                let (at, steps) = (group * LANES, *seen.iter().max().unwrap_or(&0));
                add_product(
                    isa,
                    rows(self.products, CHUNK).from(at).left(),
                    v,
                    (seen.len(), steps, s.value()),
                    rows_mut(&mut self.sums[at * s.value()..], s.value()),
                    slots.from(at),
                );
            }
        }
        let mut factors = [self.engine.factor; CHUNK];
        let factors = &mut factors[..n];
        if self.engine.extent.normaliser.divides_rows() {
            let features = rows(self.state.features, 0);
            add_dots(isa, phi_q, features, s.feature(), totals);
            for (factor, &sum) in factors.iter_mut().zip(totals.iter()) {
                let (sum, guarded) = self.engine.extent.normaliser.guard(sum);
                self.guarded += u64::from(guarded);
                *factor /= sum;
            }
        }
        // SAFETY: the sheet has checked the rows, and this task alone writes them.
        #[allow(unsafe_code)]
        unsafe {
            let to = out.row(head.sequence, head.head, first, n);
            scale_rows_to(isa, rows(self.sums, s.value()), factors, s.dv, to);
        }
    }

    /// φ of queries from `first` on, in the state's units or over the norms of key columns.
    fn load_queries(&mut self, head: &Head<'_>, first: usize, ends: &[usize]) {
        let (isa, s, n) = (self.engine.isa, self.sizes, ends.len());
        load(isa, head.q, first..first + n, self.x, s.token());
        let standing = Standing::queries(ends);
        let tokens = standing.tokens(self.key_head, self.keys, self.x);
        let map = self.engine.map;
        map.features(isa, &tokens, self.work, self.phi_q);
        if self.engine.extent.logarithmic {
            units::bring_queries(isa, self.phi_q, n, s.width(), self.state.tops);
        } else if self.engine.extent.normaliser == Normaliser::KeyColumns {
            divide_by_columns(self.phi_q, (n, s.feature()), self.state.features, ends[0]);
        }
    }
}

/// Divides φ(Q) `[n, m]` by √keys times the norm of each column of φ(K), given Σ φ(k_j)².
pub(super) fn divide_by_columns(
    phi: &mut [f32],
    (n, stride): (usize, usize),
    squares: &[f32],
    keys: usize,
) {
    let root = (keys as f32).sqrt();
    for row in phi.chunks_exact_mut(stride.max(1)).take(n) {
        for (x, squares) in row.iter_mut().zip(squares) {
            *x /= root * squares.sqrt().max(LEAST_NORM);
        }
    }
}

/// Whose tokens those of a chunk are, and where they stand.
pub(super) struct Standing {
    side: Side,
    positions: [usize; CHUNK],
    count: usize,
}

impl Standing {
    /// Keys of a history.
    pub(super) fn keys(keys: Range<usize>) -> Self {
        let mut positions = [0; CHUNK];
        keys.clone().zip(&mut positions).for_each(|(j, p)| *p = j);
        Self {
            side: Side::Key,
            positions,
            count: keys.len(),
        }
    }

    /// Queries that see keys up to `ends`.
    pub(super) fn queries(ends: &[usize]) -> Self {
        let mut positions = [0; CHUNK];
        let pairs = ends.iter().zip(&mut positions);
        pairs.for_each(|(e, p)| *p = e.saturating_sub(1));
        Self {
            side: Side::Query,
            positions,
            count: ends.len(),
        }
    }

    /// Their rows.
    pub(super) fn tokens<'t>(&'t self, key_head: usize, keys: usize, x: &'t [f32]) -> Tokens<'t> {
        Tokens {
            side: self.side,
            key_head,
            x,
            positions: &self.positions[..self.count],
            keys,
        }
    }
}

/// P = A·B + plus for rows that see so many of B's columns, the rest zero, and the sum of each row.
pub(super) fn triangle(
    isa: Isa,
    (a, b, steps): (super::kernels::Rows<'_>, super::kernels::Rows<'_>, usize),
    seen: &[usize],
    (p, plus, totals): (&mut [f32], &[f32], &mut [f32]),
    ahead: Ahead,
) {
    for (group, seen) in seen.chunks(LANES).enumerate() {
        let at = group * LANES;
        let sizes = (seen.len(), steps, columns(seen));
        let p = rows_mut(&mut p[at * CHUNK..], CHUNK);
        set_product(isa, a.from(at).left(), b, sizes, p, ahead.from(at));
    }
    mask_rows(isa, rows_mut(p, CHUNK), seen, plus, totals);
}

/// Rows that the next chunk will load, as far as they exist.
pub(super) fn ahead(x: ArrayView2<'_, f32>, which: Range<usize>) -> Ahead {
    let which = which.start.min(x.nrows())..which.end.min(x.nrows());
    let step = x.strides()[0].unsigned_abs();
    let at = x.as_ptr().wrapping_add(which.start * step);
    Ahead::of(at, step, which.len(), x.ncols())
}

/// Copies rows of a matrix, padded with zeros to `stride`; whether they are finite.
pub(super) fn load(
    isa: Isa,
    x: ArrayView2<'_, f32>,
    which: Range<usize>,
    to: &mut [f32],
    stride: usize,
) -> bool {
    let x = x.slice_move(ndarray::s![which, ..]);
    let (count, width) = x.dim();
    if count == 0 || stride == 0 {
        return true;
    }
    if (width <= 1 || x.strides()[1] == 1)
        && let Ok(step) = usize::try_from(x.strides()[0])
    {
        let to = rows_mut(to, stride);
        // SAFETY: the view has these rows.
        #[allow(unsafe_code)]
        return unsafe { load_rows(isa, (x.as_ptr(), step), (count, width), to) };
    }
    let mut finite = true;
    for (to, x) in to.chunks_exact_mut(stride).zip(x.outer_iter()) {
        to.fill(0.0);
        for (to, x) in to.iter_mut().zip(x) {
            *to = *x;
            finite = finite && x.is_finite();
        }
    }
    finite
}
