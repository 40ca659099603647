//! A worker's memory in backward, and what both directions load into it.

use crate::feature::engine::Engine;
use crate::feature::kernels::{
    Ahead, LANES, Rows, add_outer, add_product, add_weighted_columns, multiply_by, rows, rows_mut,
    scale_rows, scale_rows_to, set_product, transpose,
};
use crate::feature::map::{CHUNK, Gradient, Normaliser};
use crate::feature::scan::{Standing, divide_by_columns, load};
use crate::feature::sheet::Sheet;
use crate::feature::state::{Sizes, State};
use crate::feature::units;
use attention::Head;
use ndarray::ArrayView2;
use std::ops::Range;

/// Buffers of a chunk.
pub(super) struct Pass<'s, 'e> {
    pub(super) engine: &'e Engine<'e>,
    pub(super) sizes: Sizes,
    pub(super) key_head: usize,
    /// Keys of the history.
    pub(super) length: usize,
    /// Of the keys before a chunk, or of the queries behind it.
    pub(super) state: State<'s>,
    /// Of the queries so far, where all see the same keys.
    pub(super) behind: State<'s>,
    /// The state's values, transposed `[Dv, m]`.
    pub(super) turned: &'s mut [f32],
    /// K `[C, D]`.
    pub(super) x_k: &'s mut [f32],
    /// Q `[C, D]`.
    pub(super) x_q: &'s mut [f32],
    /// φ(K), φ(Q) `[C, m]`.
    pub(super) phi_k: &'s mut [f32],
    pub(super) phi_q: &'s mut [f32],
    /// The gradient of either `[C, m]`.
    pub(super) d_phi: &'s mut [f32],
    /// φ(K)ᵀ `[m, C]`, or units of each query `[C, m]`.
    pub(super) across: &'s mut [f32],
    /// V `[C, Dv]`.
    pub(super) v: &'s mut [f32],
    /// Vᵀ `[Dv, C]`.
    pub(super) v_across: &'s mut [f32],
    /// The gradient of the sums before they are divided `[C, Dv]`.
    pub(super) g: &'s mut [f32],
    /// O, or dV `[C, Dv]`.
    pub(super) o: &'s mut [f32],
    /// φ(Q)φ(K)ᵀ and its gradient `[C, C]`.
    pub(super) products: &'s mut [f32],
    pub(super) d_products: &'s mut [f32],
    /// dQ or dK `[C, D]`.
    pub(super) dx: &'s mut [f32],
    /// Largest log2 φ of the chunk's keys `[m]`, and memory for a row.
    pub(super) peaks: &'s mut [f32],
    pub(super) running: &'s mut [f32],
    work: &'s mut [f32],
}

fn parts(s: Sizes) -> [usize; 19] {
    let (token, feature, value) = (s.token() * CHUNK, s.feature() * CHUNK, s.value() * CHUNK);
    [
        s.state(),
        s.state(),
        s.dv * s.feature(),
        token,
        token,
        feature,
        feature,
        feature,
        feature,
        value,
        s.dv * CHUNK,
        value,
        value,
        CHUNK * CHUNK,
        CHUNK * CHUNK,
        token,
        s.feature(),
        s.feature(),
        s.extent.work,
    ]
}

impl<'s, 'e> Pass<'s, 'e> {
    /// Floats that a worker needs.
    pub(super) fn floats(sizes: Sizes) -> usize {
        parts(sizes).iter().sum()
    }

    /// Lays a worker's memory out in `buffer`, with an empty state.
    pub(super) fn new(
        engine: &'e Engine<'e>,
        sizes: Sizes,
        (key_head, length): (usize, usize),
        buffer: &'s mut [f32],
    ) -> Self {
        let mut rest = buffer;
        let mut parts = parts(sizes).map(|n| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(n);
            rest = after;
            part
        });
        let mut next = parts.iter_mut().map(std::mem::take);
        let mut next = || next.next().unwrap_or_default();
        let mut state = State::over(next(), sizes);
        state.clear();
        let mut behind = State::over(next(), sizes);
        behind.clear();
        Self {
            engine,
            sizes,
            key_head,
            length,
            state,
            behind,
            turned: next(),
            x_k: next(),
            x_q: next(),
            phi_k: next(),
            phi_q: next(),
            d_phi: next(),
            across: next(),
            v: next(),
            v_across: next(),
            g: next(),
            o: next(),
            products: next(),
            d_products: next(),
            dx: next(),
            peaks: next(),
            running: next(),
            work: next(),
        }
    }

    /// Whether features are logarithms.
    pub(super) fn is_logarithmic(&self) -> bool {
        self.engine.extent.logarithmic
    }

    /// Loads keys and values of one chunk, and the features of its keys; whether the values are
    /// finite.
    pub(super) fn load_keys(&mut self, head: &Head<'_>, keys: Range<usize>) -> bool {
        let (isa, s) = (self.engine.isa, self.sizes);
        load(isa, head.k, keys.clone(), self.x_k, s.token());
        let finite = load(isa, head.v, keys.clone(), self.v, s.value());
        let standing = Standing::keys(keys);
        let tokens = standing.tokens(self.key_head, self.length, self.x_k);
        let map = self.engine.map;
        map.features(isa, &tokens, self.work, self.phi_k);
        finite
    }

    /// From log2 φ of `n` loaded keys to φ in the state's units.
    pub(super) fn exponentiate(&mut self, n: usize) {
        if self.is_logarithmic() {
            let (isa, width) = (self.engine.isa, self.sizes.width());
            units::exponentiate(isa, self.phi_k, n, width, self.state.tops);
        }
    }

    /// Loads φ of queries from `first` on, which see keys up to `ends`, in the state's units; over the
    /// norms of key columns, where `squares` has those.
    pub(super) fn load_queries(
        &mut self,
        head: &Head<'_>,
        first: usize,
        ends: &[usize],
        squares: Option<&[f32]>,
    ) {
        let (isa, s, n) = (self.engine.isa, self.sizes, ends.len());
        load(isa, head.q, first..first + n, self.x_q, s.token());
        let standing = Standing::queries(ends);
        let tokens = standing.tokens(self.key_head, self.length, self.x_q);
        let map = self.engine.map;
        map.features(isa, &tokens, self.work, self.phi_q);
        if self.engine.extent.logarithmic {
            units::bring_queries(isa, self.phi_q, n, s.width(), self.state.tops);
        } else if let Some(squares) = squares {
            divide_by_columns(self.phi_q, (n, s.feature()), squares, ends[0]);
        }
    }

    /// Loads rows of dO times `factors`.
    pub(super) fn load_gradient(
        &mut self,
        d_o: ArrayView2<'_, f32>,
        queries: Range<usize>,
        factors: &[f32],
    ) {
        let (isa, stride) = (self.engine.isa, self.sizes.value());
        load(isa, d_o, queries, self.g, stride);
        scale_rows(isa, rows_mut(self.g, stride), factors, stride);
    }

    /// Adds `n` loaded keys to the state.
    pub(super) fn absorb_loaded(&mut self, n: usize, next: Ahead) {
        let (isa, normaliser) = (self.engine.isa, self.engine.extent.normaliser);
        let keys = (&*self.phi_k, &*self.v, n);
        self.state.absorb(isa, keys, normaliser, next);
    }

    /// Adds loaded queries to the state, or to that of the queries so `far`: their features, the
    /// gradient of their sums, and that of what these are divided by.
    pub(super) fn add_queries(&mut self, d_totals: &[f32], far: bool, next: Ahead) {
        let (isa, s, n) = (self.engine.isa, self.sizes, d_totals.len());
        let phi = rows(self.phi_q, s.feature());
        let state = if far {
            &mut self.behind
        } else {
            &mut self.state
        };
        add_product(
            isa,
            phi.transposed(),
            rows(self.g, s.value()),
            (s.width(), n, s.value()),
            rows_mut(state.values, s.value()),
            next,
        );
        if self.engine.extent.normaliser.divides_rows() {
            add_weighted_columns(isa, phi, d_totals, state.features);
        }
    }

    /// The state's values across.
    pub(super) fn turn(&mut self) {
        let (isa, s) = (self.engine.isa, self.sizes);
        let values = rows(self.state.values, s.value());
        let to = rows_mut(self.turned, s.feature());
        transpose(isa, values, (s.width(), s.dv), to);
    }

    /// dφ = A·stateᵀ + weights ⊗ the state's features, for n rows A `[n, Dv]`.
    pub(super) fn through_state(&mut self, values: bool, weights: &[f32], next: Ahead) {
        let (isa, s) = (self.engine.isa, self.sizes);
        let a = if values { &*self.v } else { &*self.g };
        let sizes = (weights.len(), s.dv, s.feature());
        let (turned, d_phi) = (
            rows(self.turned, s.feature()),
            rows_mut(self.d_phi, s.feature()),
        );
        set_product(isa, rows(a, s.value()).left(), turned, sizes, d_phi, next);
        if self.engine.extent.normaliser.divides_rows() {
            let d_phi = rows_mut(self.d_phi, s.feature());
            add_outer(isa, d_phi, weights, self.state.features);
        }
    }

    /// Writes dQ of loaded queries from `first` on.
    pub(super) fn finish_queries(
        &mut self,
        (head, first, ends): (&Head<'_>, usize, &[usize]),
        squares: Option<&[f32]>,
        learned: &mut [f32],
        dq: &Sheet<'_>,
    ) {
        let (isa, s, n) = (self.engine.isa, self.sizes, ends.len());
        let floats = n * s.feature();
        if self.is_logarithmic() {
            multiply_by(isa, &mut self.d_phi[..floats], &self.phi_q[..floats]);
        } else if let Some(squares) = squares {
            divide_by_columns(self.d_phi, (n, s.feature()), squares, ends[0]);
        }
        let standing = Standing::queries(ends);
        let tokens = standing.tokens(self.key_head, self.length, self.x_q);
        let gradient = Gradient {
            phi: self.phi_q,
            d_phi: self.d_phi,
            dx: self.dx,
        };
        let map = self.engine.map;
        map.pull_back(isa, &tokens, self.work, gradient, learned);
        self.write(
            self.dx,
            (n, s.token(), s.d),
            dq.row(head.sequence, head.head, first, n),
        );
    }

    /// Writes dK and dV of the loaded keys.
    pub(super) fn finish_keys(
        &mut self,
        sequence: usize,
        keys: Range<usize>,
        learned: &mut [f32],
        (dk, dv): (&Sheet<'_>, &Sheet<'_>),
    ) {
        let (isa, s, n) = (self.engine.isa, self.sizes, keys.len());
        let floats = n * s.feature();
        if self.is_logarithmic() {
            multiply_by(isa, &mut self.d_phi[..floats], &self.phi_k[..floats]);
        }
        let standing = Standing::keys(keys.clone());
        let tokens = standing.tokens(self.key_head, self.length, self.x_k);
        let gradient = Gradient {
            phi: self.phi_k,
            d_phi: self.d_phi,
            dx: self.dx,
        };
        let map = self.engine.map;
        map.pull_back(isa, &tokens, self.work, gradient, learned);
        let to = |sheet: &Sheet<'_>| sheet.row(sequence, self.key_head, keys.start, n);
        self.write(self.dx, (n, s.token(), s.d), to(dk));
        self.write(self.o, (n, s.value(), s.dv), to(dv));
    }

    fn write(
        &self,
        from: &[f32],
        (n, stride, width): (usize, usize, usize),
        to: (*mut f32, isize),
    ) {
        let ones = &[1.0; CHUNK][..n];
        // SAFETY: a sheet has checked the rows, and this task alone writes them.
        #[allow(unsafe_code)]
        unsafe {
            scale_rows_to(self.engine.isa, rows(from, stride), ones, width, to);
        }
    }
}

/// C += Pᵀ·B for P `[C, C]` whose row r has so many columns and zeros up to whole lanes of its group
/// of 16.
pub(super) fn add_triangle_across(
    pass: &Engine<'_>,
    p: &[f32],
    seen: &[usize],
    (b, columns): (Rows<'_>, usize),
    c: &mut [f32],
) {
    let keys = seen.last().copied().unwrap_or(0);
    for first in (0..keys).step_by(LANES) {
        // The groups of rows before hold no such column.
        let begin = seen.iter().position(|&s| s > first).unwrap_or(seen.len());
        let begin = begin / LANES * LANES;
        let p = rows(&p[begin * CHUNK + first..], CHUNK);
        let sizes = (LANES.min(keys - first), seen.len() - begin, columns);
        let c = rows_mut(&mut c[first * columns..], columns);
        add_product(
            pass.isa,
            p.transposed(),
            b.from(begin),
            sizes,
            c,
            Ahead::NONE,
        );
    }
}

/// Σ φ(k_j)² of the state, where queries are divided by it.
pub(super) fn squares<'a>(engine: &Engine<'_>, held: &'a [f32]) -> Option<&'a [f32]> {
    (engine.extent.normaliser == Normaliser::KeyColumns).then_some(held)
}
