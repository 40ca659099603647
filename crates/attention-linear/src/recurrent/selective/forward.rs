//! O, group by group of channels.

#![allow(unsafe_code)]

use super::super::CHUNK;
use super::super::ops::{CHANNELS, How, Ops, Right, To, rows};
use super::super::shared::Shared;
use super::super::support::{take, visible_keys};
use super::chunk::Chunk;
use attention::{OutputMut, Problem, Scratch, Shape, Workers};
use ndarray::s;
use std::ops::Range;

/// Groups of channels of all heads.
pub(super) fn tasks(shape: &Shape) -> usize {
    shape.b * shape.hkv * shape.dv.div_ceil(CHANNELS)
}

/// Floats of a worker.
pub(super) fn floats(shape: &Shape) -> usize {
    let row = shape.d.next_multiple_of(16);
    let group = shape.h / shape.hkv.max(1);
    let readers = group.max(1) * CHUNK * (row + CHANNELS);
    Chunk::floats(shape) + row * CHANNELS + readers
}

/// Writes O. The caller has checked output, mask and tensors.
pub(super) fn forward(
    ops: Ops,
    problem: &Problem<'_>,
    mut out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let shape = *problem.shape();
    let out = Shared::of(&mut out.o);
    let groups = shape.dv.div_ceil(CHANNELS);
    workers.run(0..tasks(&shape), scratch, floats(&shape), |task, memory| {
        memory.fill(0.0);
        let memory = &mut &mut *memory;
        let (head, group) = (task / groups, task % groups);
        let place = (head / shape.hkv, head % shape.hkv);
        let columns = group * CHANNELS..shape.dv.min((group + 1) * CHANNELS);
        let mut chunk = Chunk::new(ops, problem, place, columns, memory);
        let state = take(memory, chunk.row * CHANNELS);
        let mut readers = Readers::new(problem, &chunk, memory);
        let mask = chunk.head.mask;
        let mut next = 0;
        // Queries that see nothing read the empty state.
        while next < mask.queries() && chunk.end_of(next) == 0 {
            readers.behind(&chunk, next..next + 1, state);
            readers.write(&chunk, next..next + 1, &out);
            next += 1;
        }
        let end = visible_keys(problem, place.0);
        for first in (0..end).step_by(CHUNK) {
            let keys = first..end.min(first + CHUNK);
            chunk.load(keys.clone());
            let inside = next;
            while next < mask.queries() && chunk.end_of(next) < keys.end {
                next += 1;
            }
            let inside = inside..next;
            readers.load(&chunk, inside.clone());
            ops.scan(
                chunk.steps(readers.q, &readers.at[..readers.count]),
                state,
                readers.o,
            );
            readers.write(&chunk, inside, &out);
            while next < mask.queries() && chunk.end_of(next) == keys.end {
                let behind = (next + 1..mask.queries().min(next + CHUNK))
                    .find(|i| chunk.end_of(*i) > keys.end)
                    .unwrap_or(mask.queries().min(next + CHUNK));
                readers.behind(&chunk, next..behind, state);
                readers.write(&chunk, next..behind, &out);
                next = behind;
            }
        }
    });
}

/// Rows of the query heads that share a key head, at most C of each: row i of head g at i·G + g.
pub(super) struct Readers<'p, 'a, 'm> {
    problem: &'p Problem<'a>,
    group: usize,
    /// `[C·G, row]` and `[C·G, 16]`.
    pub(super) q: &'m mut [f32],
    pub(super) o: &'m mut [f32],
    at: [usize; CHUNK],
    count: usize,
}

impl<'p, 'a, 'm> Readers<'p, 'a, 'm> {
    pub(super) fn new(
        problem: &'p Problem<'a>,
        chunk: &Chunk<'_, '_>,
        memory: &mut &'m mut [f32],
    ) -> Self {
        let group = chunk.heads.len();
        Self {
            problem,
            group,
            q: take(memory, group * CHUNK * chunk.row),
            o: take(memory, group * CHUNK * CHANNELS),
            at: [0; CHUNK],
            count: 0,
        }
    }

    /// The key of the chunk that each query stands behind.
    pub(super) fn at(&self) -> &[usize] {
        &self.at[..self.count]
    }

    /// Rows.
    pub(super) fn rows(&self) -> usize {
        self.count * self.group
    }

    /// Loads rows, with o = 0.
    pub(super) fn load(&mut self, chunk: &Chunk<'_, '_>, queries: Range<usize>) {
        let (group, row) = (self.group, chunk.row);
        self.count = queries.len();
        for (at, i) in self.at.iter_mut().zip(queries.clone()) {
            *at = chunk.end_of(i).saturating_sub(1 + chunk.keys.start);
        }
        for (g, head) in chunk.heads.clone().enumerate() {
            let q = self.problem.head(chunk.sequence, head).q;
            let q = q.slice(s![queries.clone(), ..]);
            let to = &mut self.q[g * row..];
            chunk.ops.copy(q, self.problem.scale(), to, group * row);
        }
        self.o[..self.count * self.group * CHANNELS].fill(0.0);
    }

    /// Answers rows that see all that the state holds.
    pub(super) fn behind(&mut self, chunk: &Chunk<'_, '_>, queries: Range<usize>, state: &[f32]) {
        self.load(chunk, queries);
        let size = (self.rows(), self.problem.shape().d, CHANNELS);
        let right = Right {
            data: state,
            step: CHANNELS,
        };
        let to = To {
            data: &mut *self.o,
            row: CHANNELS,
        };
        let left = rows(self.q, chunk.row);
        chunk.ops.product(left, right, size, to, How::PUT);
    }

    /// Writes rows to O, with what of the last value is added.
    fn write(&self, chunk: &Chunk<'_, '_>, queries: Range<usize>, out: &Shared<'_>) {
        let geometry = self.problem.geometry();
        let batch = if geometry.is_jagged() {
            0
        } else {
            chunk.sequence
        };
        let first = geometry.query_range(chunk.sequence).start;
        let width = chunk.columns.len();
        for (r, i) in queries.enumerate() {
            for (g, head) in chunk.heads.clone().enumerate() {
                let from = &self.o[(r * self.group + g) * CHANNELS..][..width];
                // SAFETY: these rows and columns belong to this task alone.
                let to = unsafe { out.row([batch, head, first + i], chunk.columns.start, width) };
                if chunk.end_of(i) == 0 {
                    to.fill(0.0);
                    continue;
                }
                let v = &chunk.v[(chunk.end_of(i) - 1 - chunk.keys.start) * CHANNELS..][..width];
                let terms = from.iter().zip(v).zip(chunk.skip);
                for (to, ((o, v), skip)) in to.iter_mut().zip(terms) {
                    *to = if *skip == 0.0 { *o } else { skip * v + o };
                }
            }
        }
    }
}
