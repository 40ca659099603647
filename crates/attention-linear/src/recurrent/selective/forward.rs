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

/// Floats of a worker for one group.
pub(super) fn floats(shape: &Shape) -> usize {
    let row = shape.d.next_multiple_of(16);
    let group = shape.h / shape.hkv.max(1);
    let readers = group.max(1) * CHUNK * (row + CHANNELS);
    Chunk::floats(shape) + row * CHANNELS + readers
}

/// Groups that go over a history together: the states of more, with what they read, leave the first-level
/// cache.
const TOGETHER: usize = 2;

/// How a forward call is cut into tasks: by heads, and by groups of channels where heads are fewer than
/// threads. A group's sums do not depend on its neighbours, so that any cut gives the same bits; groups of
/// one task go over the history together, which then is read from memory once.
pub(super) struct Plan {
    heads: usize,
    hkv: usize,
    groups: usize,
    /// Groups of a task.
    each: usize,
    dv: usize,
    floats: usize,
}

impl Plan {
    pub(super) fn of(shape: &Shape, threads: usize) -> Self {
        let (heads, groups) = (shape.b * shape.hkv, shape.dv.div_ceil(CHANNELS));
        let parts = threads.div_ceil(heads.max(1)).clamp(1, groups.max(1));
        let each = groups.div_ceil(parts).min(TOGETHER);
        Self {
            heads,
            hkv: shape.hkv,
            groups,
            each,
            dv: shape.dv,
            floats: each * floats(shape),
        }
    }

    fn parts(&self) -> usize {
        self.groups.div_ceil(self.each.max(1))
    }

    pub(super) fn tasks(&self) -> usize {
        self.heads * self.parts()
    }

    /// Floats of a worker.
    pub(super) fn floats(&self) -> usize {
        self.floats
    }

    /// History, key head, and the channels of each group of a task.
    fn task(&self, task: usize) -> ((usize, usize), impl Iterator<Item = Range<usize>> + use<>) {
        let (head, part) = (task / self.parts(), task % self.parts());
        let (dv, first) = (self.dv, part * self.each);
        let groups = first..self.groups.min(first + self.each);
        let columns = groups.map(move |g| g * CHANNELS..dv.min((g + 1) * CHANNELS));
        ((head / self.hkv, head % self.hkv), columns)
    }
}

/// Writes O. The caller has checked output, mask and tensors.
pub(super) fn forward(
    ops: Ops,
    problem: &Problem<'_>,
    mut out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let plan = Plan::of(problem.shape(), workers.threads());
    let out = Shared::of(&mut out.o);
    workers.run(0..plan.tasks(), scratch, plan.floats(), |task, memory| {
        memory.fill(0.0);
        let memory = &mut &mut *memory;
        let (place, groups) = plan.task(task);
        let groups = groups.map(|columns| Group::new(ops, problem, place, columns, memory));
        let mut groups: Vec<Group<'_, '_, '_>> = groups.collect();
        for group in &mut groups {
            group.skip_blind(&out);
        }
        let end = visible_keys(problem, place.0);
        for first in (0..end).step_by(CHUNK) {
            let keys = first..end.min(first + CHUNK);
            for group in &mut groups {
                group.go(keys.clone(), &out);
            }
        }
    });
}

/// A group of channels on its way over a history.
struct Group<'p, 'a, 'm> {
    chunk: Chunk<'p, 'm>,
    state: &'m mut [f32],
    readers: Readers<'p, 'a, 'm>,
    /// The first query that is not answered.
    next: usize,
}

impl<'p, 'a, 'm> Group<'p, 'a, 'm> {
    fn new(
        ops: Ops,
        problem: &'p Problem<'a>,
        place: (usize, usize),
        columns: Range<usize>,
        memory: &mut &'m mut [f32],
    ) -> Self {
        let chunk = Chunk::new(ops, problem, place, columns, memory);
        let state = take(memory, chunk.row * CHANNELS);
        let readers = Readers::new(problem, &chunk, memory);
        Self {
            chunk,
            state,
            readers,
            next: 0,
        }
    }

    /// Answers queries that see nothing from the empty state.
    fn skip_blind(&mut self, out: &Shared<'_>) {
        let queries = self.chunk.head.mask.queries();
        while self.next < queries && self.chunk.end_of(self.next) == 0 {
            let alone = self.next..self.next + 1;
            self.answer_behind(alone, out);
        }
    }

    /// Writes a chunk of keys to the state, and answers the queries that end in it.
    fn go(&mut self, keys: Range<usize>, out: &Shared<'_>) {
        self.chunk.load(keys.clone());
        let queries = self.chunk.head.mask.queries();
        let inside = self.next;
        while self.next < queries && self.chunk.end_of(self.next) < keys.end {
            self.next += 1;
        }
        let (chunk, readers) = (&self.chunk, &mut self.readers);
        let inside = inside..self.next;
        readers.load(chunk, inside.clone());
        let steps = chunk.steps(readers.q, &readers.at[..readers.count]);
        chunk.ops.scan(steps, self.state, readers.o);
        readers.write(chunk, inside, out);
        while self.next < queries && self.chunk.end_of(self.next) == keys.end {
            let most = queries.min(self.next + CHUNK);
            let behind = (self.next + 1..most)
                .find(|i| self.chunk.end_of(*i) > keys.end)
                .unwrap_or(most);
            self.answer_behind(self.next..behind, out);
        }
    }

    fn answer_behind(&mut self, queries: Range<usize>, out: &Shared<'_>) {
        self.readers
            .behind(&self.chunk, queries.clone(), self.state);
        self.readers.write(&self.chunk, queries.clone(), out);
        self.next = queries.end;
    }
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
