//! A worker's memory in forward: the state of the blocks that are far from a chunk of queries, and what
//! these see near by.

use super::kernels::{Layout, expand};
use super::rule::{Rule, Sizes};
use super::token::{self, Tokens};
use crate::feature::kernels::{Ahead, LANES, rows, rows_mut, transpose};
use crate::feature::map::{CHUNK, Normaliser, Side};
use crate::feature::scan::load;
use crate::feature::state::State;
use ::attention::Problem;
use ::attention::simd::Isa;
use ndarray::ArrayView2;
use std::ops::Range;

/// Keys and values of a history from one on.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    pub(super) k: ArrayView2<'a, f32>,
    pub(super) v: ArrayView2<'a, f32>,
    /// Where the first of them stands.
    pub(super) start: usize,
}

impl Keys<'_> {
    fn rows(&self, keys: &Range<usize>) -> Range<usize> {
        keys.start - self.start..keys.end - self.start
    }
}

/// Buffers of a chunk.
pub(super) struct Walk<'s> {
    pub(super) isa: Isa,
    pub(super) rule: Rule,
    pub(super) sizes: Sizes,
    pub(super) scale: f32,
    pub(super) tokens: Tokens<'s>,
    /// Of the keys before those that are near.
    pub(super) state: State<'s>,
    /// Keys in the state.
    pub(super) held: usize,
    /// K `[C, D]`, which keys these are, and whether y belongs to them.
    x_k: &'s mut [f32],
    loaded: Range<usize>,
    projected: bool,
    /// y of keys `[C, r]`.
    y_k: &'s mut [f32],
    /// What products with queries read: Kᵀ or yᵀ `[D or r, C]`.
    pub(super) across: &'s mut [f32],
    turned: Range<usize>,
    /// V `[C, Dv]`, which keys these are, and whether they are finite.
    pub(super) v: &'s mut [f32],
    valued: Range<usize>,
    pub(super) finite: bool,
    /// Q `[C, D]` and its y `[C, r]`.
    pub(super) x_q: &'s mut [f32],
    pub(super) y_q: &'s mut [f32],
    /// φ of queries or keys `[C, m]`.
    pub(super) phi: &'s mut [f32],
    /// Scores and weights of near keys `[C, near]`.
    pub(super) scores: &'s mut [f32],
    /// O before it is divided `[C, Dv]`.
    pub(super) sums: &'s mut [f32],
    /// Rows whose normaliser was guarded.
    pub(super) guarded: u64,
}

fn parts(s: Sizes) -> [usize; 16] {
    let [a, b, c, d, e, f] = token::floats(s);
    let (token, value) = (CHUNK * s.state.token(), CHUNK * s.state.value());
    let row = CHUNK * s.row();
    [
        a,
        b,
        c,
        d,
        e,
        f,
        s.state.state(),
        token,
        row,
        s.state.d.max(s.rank) * CHUNK,
        value,
        token,
        row,
        CHUNK * s.state.feature() + LANES,
        CHUNK * s.near,
        value,
    ]
}

impl<'s> Walk<'s> {
    /// Floats that a worker needs.
    pub(super) fn floats(sizes: Sizes) -> usize {
        parts(sizes).iter().sum()
    }

    /// Lays a worker's memory out in `buffer`, with the state of no keys.
    pub(super) fn new(
        (isa, rule, sizes): (Isa, &Rule, Sizes),
        of: (&Problem<'_>, usize),
        buffer: &'s mut [f32],
    ) -> Self {
        let mut next = carve(buffer, parts(sizes));
        let mut next = || next.next().unwrap_or_default();
        let tokens = std::array::from_fn(|_| next());
        let mut state = State::over(next(), sizes.state);
        state.clear();
        Self {
            isa,
            rule: *rule,
            sizes,
            scale: of.0.scale(),
            tokens: Tokens::of(isa, rule, sizes, of, tokens),
            state,
            held: 0,
            x_k: next(),
            loaded: 0..0,
            projected: false,
            y_k: next(),
            across: next(),
            turned: 0..0,
            v: next(),
            valued: 0..0,
            finite: true,
            x_q: next(),
            y_q: next(),
            phi: next(),
            scores: next(),
            sums: next(),
            guarded: 0,
        }
    }

    pub(super) fn layout(&self, n: usize) -> Layout {
        Layout {
            n,
            rank: self.sizes.rank,
            row: self.sizes.row(),
            feature: self.sizes.state.feature(),
        }
    }

    fn load_keys(&mut self, from: Keys<'_>, keys: &Range<usize>) {
        if self.loaded != *keys {
            let stride = self.sizes.state.token();
            load(self.isa, from.k, from.rows(keys), self.x_k, stride);
            self.loaded = keys.clone();
            self.projected = false;
        }
    }

    fn project_keys(&mut self) {
        if !self.projected {
            let n = self.loaded.len();
            self.tokens.project(Side::Key, n, self.x_k, self.y_k);
            self.projected = true;
        }
    }

    pub(super) fn load_values(&mut self, from: Keys<'_>, keys: &Range<usize>) {
        if self.valued != *keys {
            let stride = self.sizes.state.value();
            self.finite = load(self.isa, from.v, from.rows(keys), self.v, stride);
            self.valued = keys.clone();
        }
    }

    /// Loads keys across, as their products with queries need them.
    pub(super) fn turn_keys(&mut self, from: Keys<'_>, keys: &Range<usize>) {
        if self.turned == *keys {
            return;
        }
        self.load_keys(from, keys);
        let (x, width) = if self.rule.window > 0 {
            (rows(self.x_k, self.sizes.state.token()), self.sizes.state.d)
        } else {
            self.project_keys();
            (rows(self.y_k, self.sizes.row()), self.sizes.rank)
        };
        transpose(
            self.isa,
            x,
            (keys.len(), width),
            rows_mut(self.across, CHUNK),
        );
        self.turned = keys.clone();
    }

    /// Adds whole blocks of keys to the state, up to a key.
    pub(super) fn absorb(&mut self, from: Keys<'_>, end: usize) {
        while self.held < end {
            let keys = self.held..end.min(self.held + CHUNK);
            let n = keys.len();
            self.load_keys(from, &keys);
            self.project_keys();
            self.load_values(from, &keys);
            let layout = self.layout(n);
            expand(self.isa, self.rule.polynomial, layout, self.y_k, self.phi);
            let floats = CHUNK * self.sizes.state.feature();
            let keys_and_values = (&self.phi[..floats], &*self.v, n);
            self.state
                .absorb(self.isa, keys_and_values, Normaliser::RowSum, Ahead::NONE);
            self.held = keys.end;
        }
    }
}

/// Parts of a buffer, one behind the other.
pub(super) fn carve(
    buffer: &mut [f32],
    parts: impl IntoIterator<Item = usize>,
) -> impl Iterator<Item = &mut [f32]> {
    let mut rest = buffer;
    parts.into_iter().map(move |n| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(n);
        rest = after;
        part
    })
}
