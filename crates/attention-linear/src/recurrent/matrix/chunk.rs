//! A chunk of keys in scratch memory, and the state that it is written to.

use super::super::CHUNK;
use super::super::ops::Ops;
use super::super::support::side;
use super::gate::{Gate, Places};
use super::lanes::Lanes;
use super::scalar::{Scalar, Source};
use super::{Decays, Rule, Sizes, take};
use attention::Problem;
use ndarray::{ArrayView2, s};
use std::ops::Range;

/// Keys and values of one history and key head, and of one run of value columns.
#[derive(Clone, Copy)]
pub(super) struct Keys<'p> {
    pub(super) k: ArrayView2<'p, f32>,
    pub(super) v: ArrayView2<'p, f32>,
    /// β of each key, where the delta rule asks for it.
    pub(super) beta: &'p [f32],
}

impl<'p> Keys<'p> {
    pub(super) fn of(
        problem: &'p Problem<'_>,
        (sequence, key_head): (usize, usize),
        columns: Range<usize>,
    ) -> Self {
        let shape = problem.shape();
        let head = problem.head(sequence, key_head * (shape.h / shape.hkv.max(1)));
        Self {
            k: head.k,
            v: head.v.slice_move(s![.., columns]),
            beta: side(problem, "beta", (sequence, key_head)),
        }
    }
}

/// Scratch of a chunk.
pub(super) struct Chunk<'m> {
    pub(super) ops: Ops,
    pub(super) rule: Rule,
    pub(super) sizes: Sizes,
    pub(super) n: usize,
    /// K `[n, D]`, of unit length where the rule says so, what its rows were multiplied with for
    /// that, and its transpose `[D, C]`.
    pub(super) k: &'m mut [f32],
    pub(super) norms: [f32; CHUNK],
    pub(super) k_t: &'m mut [f32],
    /// V `[n, Dv]`; for the delta rule then W, and U = diag(β)·W.
    pub(super) w: &'m mut [f32],
    pub(super) u: &'m mut [f32],
    pub(super) beta: [f32; CHUNK],
    /// Strictly lower triangle of decayed K·Kᵀ `[C, C]`.
    pub(super) l: &'m mut [f32],
}

impl<'m> Chunk<'m> {
    pub(super) fn floats(rule: &Rule, sizes: &Sizes) -> usize {
        let delta = CHUNK * sizes.v_row + CHUNK * CHUNK;
        2 * CHUNK * sizes.d_row + CHUNK * sizes.v_row + if rule.delta { delta } else { 0 }
    }

    pub(super) fn new(rule: Rule, sizes: Sizes, memory: &mut &'m mut [f32]) -> Self {
        let delta = if rule.delta { CHUNK } else { 0 };
        Self {
            ops: rule.ops(),
            rule,
            sizes,
            n: 0,
            k: take(memory, CHUNK * sizes.d_row),
            norms: [1.0; CHUNK],
            k_t: take(memory, CHUNK * sizes.d_row),
            w: take(memory, CHUNK * sizes.v_row),
            u: take(memory, delta * sizes.v_row),
            beta: [0.0; CHUNK],
            l: take(memory, delta * CHUNK),
        }
    }

    /// Loads keys and values; whether all of them are finite.
    pub(super) fn load(&mut self, keys: &Keys<'_>, range: Range<usize>) -> bool {
        let Sizes {
            d, d_row, v_row, ..
        } = self.sizes;
        self.n = range.len();
        let k = keys.k.slice(s![range.clone(), ..]);
        let v = keys.v.slice(s![range.clone(), ..]);
        let finite = self.ops.copy(k, 1.0, self.k, d_row) & self.ops.copy(v, 1.0, self.w, v_row);
        if self.rule.delta {
            let size = (self.n, d, d_row);
            self.ops.unit(self.k, size, 1.0, &mut self.norms);
        }
        if self.rule.delta {
            self.beta[..self.n].copy_from_slice(&keys.beta[range]);
        }
        finite
    }

    /// Fetches a quarter of the keys and values behind `range`: a few at a time between products, since
    /// many at once would hold up their loads.
    pub(super) fn fetch(&self, keys: &Keys<'_>, range: &Range<usize>, quarter: usize) {
        let step = CHUNK / 4;
        let first = range.end + quarter * step;
        let rows = first.min(keys.k.nrows())..(first + step).min(keys.k.nrows());
        self.ops.fetch(keys.k.slice(s![rows.clone(), ..]));
        self.ops.fetch(keys.v.slice(s![rows, ..]));
    }

    /// Kᵀ, for what reads inside the chunk.
    pub(super) fn transpose(&mut self) {
        let Sizes { d, d_row, .. } = self.sizes;
        self.ops
            .transpose(self.k, (self.n, d, d_row), self.k_t, CHUNK);
    }

    /// Where the chunk's keys stand as readers of the keys before them.
    pub(super) fn own_places(&self) -> Places {
        Places {
            first: 0,
            last: self.n - 1,
            count: self.n,
            strict: true,
        }
    }

    /// Solves for the delta rule's pseudo-values, given the state before the chunk.
    pub(super) fn solve<G: Gate>(&mut self, gate: &mut G, state: &[f32]) {
        if !self.rule.delta {
            return;
        }
        let ops = self.ops;
        gate.place(ops, self.own_places());
        gate.scores(ops, self.k, self.k, self.k_t, self.l);
        gate.read(ops, self.k, state, self.w, true);
        let beta = &self.beta[..self.n];
        ops.solve(self.l, beta, self.w, self.u, self.sizes.v_row);
    }

    /// U `[n, Dv]`.
    pub(super) fn values(&self) -> &[f32] {
        if self.rule.delta { self.u } else { self.w }
    }
}

/// The gate of a history and key head whose decays are one number a lane.
pub(super) fn lanes<'p, 'm>(
    problem: &'p Problem<'_>,
    place: (usize, usize),
    sizes: Sizes,
    memory: &mut &'m mut [f32],
) -> Lanes<'p, 'm> {
    Lanes::new(side(problem, "log_decay", place), sizes, memory)
}

/// The gate of a history and key head whose decays are one number a key, or none.
pub(super) fn scalar<'p, 'm>(
    rule: &Rule,
    problem: &'p Problem<'_>,
    place: (usize, usize),
    sizes: Sizes,
    memory: &mut &'m mut [f32],
) -> Scalar<'p, 'm> {
    let source = match rule.decays {
        Decays::None => Source::None,
        Decays::Heads => Source::Constant(log2_gamma(place.1)),
        Decays::Keys | Decays::Lanes => Source::Keys(side(problem, "log_decay", place)),
    };
    Scalar::new(source, sizes, memory)
}

/// log2(1 - 2^(-5 - h)) (Sun et al. 2023, equation 8).
pub(super) fn log2_gamma(key_head: usize) -> f64 {
    let below_one = (-5.0 - key_head as f64).exp2();
    (-below_one).ln_1p() * std::f64::consts::LOG2_E
}
