//! A chunk of keys for one group of channels.

use super::super::ops::{CHANNELS, Ops, Steps};
use super::super::support::{of_head, side, take};
use super::CHUNK;
use attention::{Head, Problem, Shape};
use ndarray::{ArrayView2, s};
use std::ops::Range;

/// What a task reads, and scratch for a chunk of it; rows of 16 channels, rows of Q and K padded to 16.
pub(super) struct Chunk<'p, 'm> {
    pub(super) ops: Ops,
    pub(super) head: Head<'p>,
    pub(super) sequence: usize,
    /// Query heads that share the key head.
    pub(super) heads: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) row: usize,
    /// Δ of all channels `[Nk, Dv]`.
    steps: &'p [f32],
    dv: usize,
    /// Of the channels.
    pub(super) skip: &'p [f32],
    pub(super) keys: Range<usize>,
    /// A·log2 e `[row, 16]`.
    pub(super) rates: &'m mut [f32],
    pub(super) k: &'m mut [f32],
    pub(super) step: &'m mut [f32],
    pub(super) v: &'m mut [f32],
    pub(super) x: &'m mut [f32],
}

impl<'p, 'm> Chunk<'p, 'm> {
    pub(super) fn floats(shape: &Shape) -> usize {
        let row = shape.d.next_multiple_of(16);
        row * CHANNELS + CHUNK * (row + 3 * CHANNELS)
    }

    pub(super) fn new(
        ops: Ops,
        problem: &'p Problem<'_>,
        (sequence, key_head): (usize, usize),
        columns: Range<usize>,
        memory: &mut &'m mut [f32],
    ) -> Self {
        let shape = problem.shape();
        let group = shape.h / shape.hkv.max(1);
        let heads = key_head * group..(key_head + 1) * group;
        let row = shape.d.next_multiple_of(16);
        let rates = take(memory, row * CHANNELS);
        rates.fill(0.0);
        let logs = of_head(problem, "log_rate", key_head);
        for (lane, c) in columns.clone().enumerate() {
            for n in 0..shape.d {
                let rate = -f64::from(logs[c * shape.d + n]).exp();
                rates[n * CHANNELS + lane] = (rate * std::f64::consts::LOG2_E) as f32;
            }
        }
        Self {
            ops,
            head: problem.head(sequence, heads.start),
            sequence,
            heads,
            row,
            steps: side(problem, "step", (sequence, key_head)),
            dv: shape.dv,
            skip: &of_head(problem, "skip", key_head)[columns.clone()],
            columns,
            keys: 0..0,
            rates,
            k: take(memory, CHUNK * row),
            step: take(memory, CHUNK * CHANNELS),
            v: take(memory, CHUNK * CHANNELS),
            x: take(memory, CHUNK * CHANNELS),
        }
    }

    pub(super) fn load(&mut self, keys: Range<usize>) {
        let part = s![keys.clone(), ..];
        self.ops
            .copy(self.head.k.slice(part), 1.0, self.k, self.row);
        let steps = &self.steps[keys.start * self.dv..keys.end * self.dv];
        if let Ok(steps) = ArrayView2::from_shape((keys.len(), self.dv), steps) {
            let steps = steps.slice_move(s![.., self.columns.clone()]);
            self.ops.copy(steps, 1.0, self.step, CHANNELS);
        }
        let v = self.head.v.slice(s![keys.clone(), self.columns.clone()]);
        self.ops.copy(v, 1.0, self.v, CHANNELS);
        let count = keys.len() * CHANNELS;
        self.ops
            .times(&self.v[..count], &self.step[..count], &mut self.x[..count]);
        self.keys = keys;
    }

    /// Keys that query i sees.
    pub(super) fn end_of(&self, i: usize) -> usize {
        self.head.mask.span(i).end
    }

    /// What the kernels read of the chunk, with the rows that read inside it.
    pub(super) fn steps<'a>(&'a self, q: &'a [f32], at: &'a [usize]) -> Steps<'a> {
        Steps {
            n: self.keys.len(),
            row: self.row,
            rates: self.rates,
            step: self.step,
            x: self.x,
            k: self.k,
            q,
            at,
            group: self.heads.len(),
        }
    }
}
