//! A worker's memory in backward, and what both walks do with it.

use super::super::blocks::Run;
use super::super::kernels::{self, Layout, expand};
use super::super::rule::{Rule, Sizes};
use super::super::token::{self, Tokens};
use super::super::walk::carve;
use super::Given;
use crate::feature::kernels::{
    Ahead, LANES, add_outer, rows, rows_mut, scale_rows, set_product, transpose,
};
use crate::feature::map::{CHUNK, Side};
use crate::feature::scan::load;
use crate::feature::state::State;
use ::attention::simd::Isa;
use ::attention::{Head, Problem};
use std::ops::Range;

/// Buffers of a chunk.
pub(super) struct Pass<'s> {
    pub(super) isa: Isa,
    pub(super) rule: Rule,
    pub(super) sizes: Sizes,
    pub(super) scale: f32,
    pub(super) tokens: Tokens<'s>,
    /// Gradients of the key head's tensors.
    pub(super) learned: &'s mut [f32],
    /// Of the keys far from a run of queries, or of the queries far from a block of keys.
    pub(super) state: State<'s>,
    /// The state's values, transposed `[Dv, m]`.
    turned: &'s mut [f32],
    /// K `[C, D]`, its y `[C, r]`, V `[C, Dv]`; whether K and V are finite.
    pub(super) x_k: &'s mut [f32],
    pub(super) y_k: &'s mut [f32],
    pub(super) v: &'s mut [f32],
    pub(super) finite_keys: bool,
    /// Kᵀ or yᵀ `[D or r, C]`, and Vᵀ `[Dv, C]`.
    pub(super) across: &'s mut [f32],
    pub(super) v_across: &'s mut [f32],
    /// Q `[C, D]`, its y `[C, r]`, dO/den `[C, Dv]`; whether Q and dO are finite.
    pub(super) x_q: &'s mut [f32],
    pub(super) y_q: &'s mut [f32],
    pub(super) g: &'s mut [f32],
    pub(super) finite_queries: bool,
    /// O, or dV `[C, Dv]`.
    pub(super) o: &'s mut [f32],
    /// φ, and its gradient `[C, m]`.
    pub(super) phi: &'s mut [f32],
    pub(super) d_phi: &'s mut [f32],
    /// Weights, their derivatives by scores, and gradients, of near keys `[C, near]`.
    pub(super) weights: &'s mut [f32],
    pub(super) slopes: &'s mut [f32],
    pub(super) d_scores: &'s mut [f32],
    /// The gradient of x `[C, D]`, and of y `[C, r]` twice.
    pub(super) dx: &'s mut [f32],
    pub(super) dy: &'s mut [f32],
    pub(super) more: &'s mut [f32],
    /// By head and query: 1/den, δ, the units of its weights.
    pub(super) factors: &'s mut [f32],
    pub(super) deltas: &'s mut [f32],
    pub(super) units: &'s mut [f32],
}

fn parts(s: Sizes, count: usize) -> [usize; 28] {
    let [a, b, c, d, e, f] = token::floats(s);
    let (token, value) = (CHUNK * s.state.token(), CHUNK * s.state.value());
    let (row, near) = (CHUNK * s.row(), CHUNK * s.near);
    let feature = CHUNK * s.state.feature() + LANES;
    [
        a,
        b,
        c,
        d,
        e,
        f,
        s.state.state(),
        s.state.dv * s.state.feature(),
        token,
        row,
        value,
        s.state.d.max(s.rank) * CHUNK,
        s.state.dv * CHUNK,
        token,
        row,
        value,
        value,
        feature,
        feature,
        near,
        near,
        near,
        token,
        row,
        row,
        count,
        count,
        count,
    ]
}

impl<'s> Pass<'s> {
    /// Floats that a worker needs for so many rows.
    pub(super) fn floats(sizes: Sizes, rows: usize) -> usize {
        parts(sizes, rows).iter().sum()
    }

    /// Lays a worker's memory out in `buffer`, with an empty state.
    pub(super) fn new(
        (isa, rule, sizes): (Isa, &Rule, Sizes),
        of: (&Problem<'_>, usize),
        rows: usize,
        learned: &'s mut [f32],
        buffer: &'s mut [f32],
    ) -> Self {
        let mut next = carve(buffer, parts(sizes, rows));
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
            learned,
            state,
            turned: next(),
            x_k: next(),
            y_k: next(),
            v: next(),
            finite_keys: true,
            across: next(),
            v_across: next(),
            x_q: next(),
            y_q: next(),
            g: next(),
            finite_queries: true,
            o: next(),
            phi: next(),
            d_phi: next(),
            weights: next(),
            slopes: next(),
            d_scores: next(),
            dx: next(),
            dy: next(),
            more: next(),
            factors: next(),
            deltas: next(),
            units: next(),
        }
    }

    /// Whether near keys are weighed by exponentials.
    pub(super) fn is_exact(&self) -> bool {
        self.rule.window > 0
    }

    fn layout(&self, n: usize) -> Layout {
        Layout {
            n,
            rank: self.sizes.rank,
            row: self.sizes.row(),
            feature: self.sizes.state.feature(),
        }
    }

    /// Loads keys, their y and values, and both across.
    pub(super) fn load_keys(&mut self, lead: &Head<'_>, keys: Range<usize>) {
        let (isa, n, s) = (self.isa, keys.len(), self.sizes);
        let (token, value) = (s.state.token(), s.state.value());
        let k = load(isa, lead.k, keys.clone(), self.x_k, token);
        let v = load(isa, lead.v, keys, self.v, value);
        self.finite_keys = k && v;
        self.tokens.project(Side::Key, n, self.x_k, self.y_k);
        let (x, width) = if self.is_exact() {
            (rows(self.x_k, token), s.state.d)
        } else {
            (rows(self.y_k, s.row()), s.rank)
        };
        transpose(isa, x, (n, width), rows_mut(self.across, CHUNK));
        let v = rows(self.v, value);
        transpose(isa, v, (n, s.state.dv), rows_mut(self.v_across, CHUNK));
    }

    /// Loads queries, their y and dO.
    pub(super) fn load_queries(&mut self, given: &Given<'_, '_>, head: &Head<'_>, run: &Run) {
        let (isa, n, s) = (self.isa, run.count(), self.sizes);
        let queries = run.queries.clone();
        let q = load(isa, head.q, queries.clone(), self.x_q, s.state.token());
        let d_o = given.of_queries(&given.d_o, head);
        let d_o = load(isa, d_o, queries, self.g, s.state.value());
        self.finite_queries = q && d_o;
        self.tokens.project(Side::Query, n, self.x_q, self.y_q);
    }

    /// dO times `factors`.
    pub(super) fn scale_gradient(&mut self, factors: &[f32]) {
        let stride = self.sizes.state.value();
        scale_rows(self.isa, rows_mut(self.g, stride), factors, stride);
    }

    /// φ of the loaded queries or keys.
    pub(super) fn expand(&mut self, side: Side, n: usize) {
        let y = if side == Side::Query {
            &*self.y_q
        } else {
            &*self.y_k
        };
        expand(self.isa, self.rule.polynomial, self.layout(n), y, self.phi);
    }

    /// Writes dφ of n loaded queries (`g`) or keys (`v`): A·stateᵀ + weights ⊗ the state's features; then
    /// adds to dy, `factors` by row.
    pub(super) fn through_state(&mut self, side: Side, weights: &[f32], factors: Option<&[f32]>) {
        let (isa, n, s) = (self.isa, weights.len(), self.sizes.state);
        let (a, y) = match side {
            Side::Query => (&*self.g, &*self.y_q),
            Side::Key => (&*self.v, &*self.y_k),
        };
        let a = rows(a, s.value()).left();
        let turned = rows(self.turned, s.feature());
        let sizes = (n, s.dv, s.feature());
        let to = rows_mut(self.d_phi, s.feature());
        set_product(isa, a, turned, sizes, to, Ahead::NONE);
        let to = rows_mut(self.d_phi, s.feature());
        add_outer(isa, to, weights, self.state.features);
        if let Some(factors) = factors {
            scale_rows(isa, rows_mut(self.d_phi, s.feature()), factors, s.feature());
        }
        let layout = self.layout(n);
        let given = (y, &*self.d_phi);
        kernels::pull_back(isa, self.rule.polynomial, layout, given, self.more);
        let floats = n * self.sizes.row();
        let pairs = self.dy[..floats].iter_mut().zip(&self.more[..floats]);
        pairs.for_each(|(dy, more)| *dy += more);
    }

    /// The state's values across.
    pub(super) fn turn(&mut self) {
        let s = self.sizes.state;
        let values = rows(self.state.values, s.value());
        let to = rows_mut(self.turned, s.feature());
        transpose(self.isa, values, (s.width(), s.dv), to);
    }
}
