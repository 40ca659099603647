//! O, chunk by chunk.

#![allow(unsafe_code)]

use super::super::CHUNK;
use super::super::ops::{How, Right, To, rows};
use super::super::shared::Shared;
use super::super::support::visible_keys;
use super::chunk::{Chunk, Keys, lanes, scalar};
use super::gate::{Gate, Places, add_inside};
use super::lanes::Lanes;
use super::scalar::Scalar;
use super::{Decays, Rule, Sizes, take};
use attention::{Geometry, Head, OutputMut, Problem, Scratch, Workers};
use ndarray::s;
use std::ops::Range;

/// How a forward call is cut into tasks: by heads, and by columns of V where heads are fewer than
/// threads. A column's sums do not depend on its neighbours, so that any cut gives the same bits.
pub(super) struct Plan {
    heads: usize,
    hkv: usize,
    dv: usize,
    width: usize,
    pub(super) sizes: Sizes,
}

impl Plan {
    pub(super) fn of(geometry: &Geometry, threads: usize) -> Self {
        let shape = geometry.shape();
        let heads = shape.b * shape.hkv;
        let parts = threads
            .div_ceil(heads.max(1))
            .min(shape.dv.div_ceil(16))
            .max(1);
        let width = shape.dv.div_ceil(parts).next_multiple_of(16).min(shape.dv);
        Self {
            heads,
            hkv: shape.hkv,
            dv: shape.dv,
            width,
            sizes: Sizes::of(shape.d, width),
        }
    }

    fn parts(&self) -> usize {
        self.dv.div_ceil(self.width.max(1))
    }

    pub(super) fn workers(&self, threads: usize) -> usize {
        threads.min(self.heads * self.parts()).max(1)
    }

    /// (history, key head) and columns of each task.
    fn tasks(
        &self,
    ) -> impl ExactSizeIterator<Item = ((usize, usize), Range<usize>)> + Send + use<> {
        let (parts, hkv, width, dv) = (self.parts(), self.hkv, self.width, self.dv);
        (0..self.heads * parts).map(move |task| {
            let (head, part) = (task / parts, task % parts);
            let columns = part * width..dv.min((part + 1) * width);
            ((head / hkv, head % hkv), columns)
        })
    }
}

/// Floats of a worker.
pub(super) fn floats(rule: &Rule, sizes: &Sizes) -> usize {
    let rows = CHUNK * (sizes.d_row + sizes.v_row + CHUNK);
    let state = sizes.state().next_multiple_of(16);
    Chunk::floats(rule, sizes) + rule.gate_floats(sizes) + rows + state
}

impl Rule {
    pub(super) fn gate_floats(&self, sizes: &Sizes) -> usize {
        match self.decays {
            Decays::Lanes => Lanes::floats(sizes),
            _ => Scalar::floats(sizes),
        }
    }
}

/// Writes O. The caller has checked output, mask and tensors.
pub(crate) fn forward(
    rule: &Rule,
    problem: &Problem<'_>,
    mut out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let plan = Plan::of(problem.geometry(), workers.threads());
    let out = Shared::of(&mut out.o);
    let floats = floats(rule, &plan.sizes);
    workers.run(plan.tasks(), scratch, floats, |(place, columns), memory| {
        memory.fill(0.0);
        let sizes = Sizes::of(plan.sizes.d, columns.len());
        let memory = &mut &mut *memory;
        let keys = Keys::of(problem, place, columns.clone());
        let chunk = Chunk::new(*rule, sizes, memory);
        let state = take(memory, sizes.state());
        let mut reader = Reader {
            queries: Queries::new(problem, place, columns, &out),
            q: take(memory, CHUNK * sizes.d_row),
            a: take(memory, CHUNK * CHUNK),
            o: take(memory, CHUNK * sizes.v_row),
        };
        let (end, reader) = (visible_keys(problem, place.0), Some(&mut reader));
        if rule.decays == Decays::Lanes {
            let gate = lanes(problem, place, sizes, memory);
            walk(chunk, gate, &keys, end, state, reader);
        } else {
            let gate = scalar(rule, problem, place, sizes, memory);
            walk(chunk, gate, &keys, end, state, reader);
        }
    });
}

/// Writes keys `0..end` to a state, chunk by chunk, and answers the queries that end in each.
pub(super) fn walk<G: Gate>(
    mut chunk: Chunk<'_>,
    mut gate: G,
    keys: &Keys<'_>,
    end: usize,
    state: &mut [f32],
    mut reader: Option<&mut Reader<'_, '_, '_>>,
) {
    if let Some(reader) = &mut reader {
        reader.skip_blind();
    }
    for first in (0..end).step_by(CHUNK) {
        let whole = first..end.min(first + CHUNK);
        let finite = chunk.load(keys, whole.clone());
        // Zero times NaN is NaN: what a later key hides must not be multiplied, so keys go one by one.
        let (step, pieces) = if finite { (CHUNK, 1) } else { (1, whole.len()) };
        for piece in 0..pieces {
            let from = first + piece * step;
            let range = from..whole.end.min(from + step);
            if !finite {
                chunk.load(keys, range.clone());
            }
            gate.load(chunk.ops, range.clone());
            let rows = reader.as_ref().map_or(0..0, |r| r.ending(range.end));
            let inside = rows.clone().next().is_some_and(|_| {
                reader
                    .as_ref()
                    .is_some_and(|r| r.end_of(rows.start) < range.end)
            });
            if chunk.rule.delta || inside {
                chunk.transpose();
            }
            chunk.fetch(keys, &whole, 0);
            chunk.solve(&mut gate, state);
            chunk.fetch(keys, &whole, 1);
            let mut next = rows.start;
            if let Some(reader) = reader.as_deref_mut() {
                while next < rows.end && reader.end_of(next) < range.end {
                    let group = next..rows.end.min(next + CHUNK);
                    reader.inside(&chunk, &mut gate, group.clone(), range.start, state);
                    next = group.end;
                }
            }
            chunk.fetch(keys, &whole, 2);
            gate.write(chunk.ops, chunk.k, chunk.values(), state);
            chunk.fetch(keys, &whole, 3);
            if let Some(reader) = reader.as_deref_mut() {
                while next < rows.end {
                    let group = next..rows.end.min(next + CHUNK);
                    reader.behind(&chunk, group.clone(), state);
                    next = group.end;
                }
                reader.queries.next = rows.end;
            }
        }
    }
}

/// The queries of the heads that share a key head, and where their answers go.
pub(super) struct Queries<'p, 'a, 's> {
    problem: &'p Problem<'a>,
    sequence: usize,
    heads: Range<usize>,
    head: Head<'p>,
    columns: Range<usize>,
    out: &'s Shared<'s>,
    /// The first that is not answered.
    next: usize,
}

impl<'p, 'a, 's> Queries<'p, 'a, 's> {
    pub(super) fn new(
        problem: &'p Problem<'a>,
        (sequence, key_head): (usize, usize),
        columns: Range<usize>,
        out: &'s Shared<'s>,
    ) -> Self {
        let shape = problem.shape();
        let group = shape.h / shape.hkv.max(1);
        let heads = key_head * group..(key_head + 1) * group;
        Self {
            problem,
            sequence,
            head: problem.head(sequence, heads.start),
            heads,
            columns,
            out,
            next: 0,
        }
    }

    /// Writes rows `[rows, row]` of one head.
    fn write(&self, head: usize, rows: Range<usize>, o: &[f32], row: usize) {
        let geometry = self.problem.geometry();
        let batch = if geometry.is_jagged() {
            0
        } else {
            self.sequence
        };
        let first = geometry.query_range(self.sequence).start;
        let width = self.columns.len();
        for (r, i) in rows.enumerate() {
            let place = [batch, head, first + i];
            // SAFETY: these rows and columns belong to this task alone.
            let to = unsafe { self.out.row(place, self.columns.start, width) };
            to.copy_from_slice(&o[r * row..r * row + width]);
        }
    }
}

/// Answers queries.
pub(super) struct Reader<'p, 'a, 'm> {
    pub(super) queries: Queries<'p, 'a, 'm>,
    /// Q `[C, D]`, A `[C, C]`, O `[C, Dv]`.
    pub(super) q: &'m mut [f32],
    pub(super) a: &'m mut [f32],
    pub(super) o: &'m mut [f32],
}

impl Reader<'_, '_, '_> {
    /// Keys that query i sees.
    fn end_of(&self, i: usize) -> usize {
        self.queries.head.mask.span(i).end
    }

    /// The queries from the first unanswered one on that see no key from `end` on.
    fn ending(&self, end: usize) -> Range<usize> {
        let mask = &self.queries.head.mask;
        let mut i = self.queries.next;
        while i < mask.queries() && mask.span(i).end <= end {
            i += 1;
        }
        self.queries.next..i
    }

    /// Answers queries that see nothing with zero.
    fn skip_blind(&mut self) {
        let blind = self.ending(0);
        self.o.fill(0.0);
        for head in self.queries.heads.clone() {
            for i in blind.clone() {
                self.queries
                    .write(head, i..i + 1, self.o, self.queries.columns.len());
            }
        }
        self.queries.next = blind.end;
    }

    fn load(&mut self, chunk: &Chunk<'_>, head: usize, rows: Range<usize>) {
        let q = self.queries.problem.head(self.queries.sequence, head).q;
        let count = rows.len();
        load_queries(
            chunk,
            q.slice(s![rows, ..]),
            self.queries.problem.scale(),
            self.q,
            count,
        );
    }

    /// Fetches half of the queries behind `rows`, and of the rows of O that answer these.
    fn fetch(&self, chunk: &Chunk<'_>, head: usize, rows: &Range<usize>, half: usize) {
        let q = self.queries.problem.head(self.queries.sequence, head).q;
        let step = CHUNK / 2;
        let first = rows.end + half * step;
        let next = first.min(q.nrows())..(first + step).min(q.nrows());
        chunk.ops.fetch(q.slice(s![next, ..]));
    }

    /// Answers rows of which the first does not see the whole chunk, from the state before it.
    fn inside<G: Gate>(
        &mut self,
        chunk: &Chunk<'_>,
        gate: &mut G,
        rows: Range<usize>,
        first_key: usize,
        state: &[f32],
    ) {
        let places = Places {
            first: self.end_of(rows.start) - 1 - first_key,
            last: chunk.n - 1,
            count: rows.len(),
            strict: false,
        };
        gate.place(chunk.ops, places);
        for head in self.queries.heads.clone() {
            self.load(chunk, head, rows.clone());
            self.fetch(chunk, head, &rows, 0);
            gate.scores(chunk.ops, self.q, chunk.k, chunk.k_t, self.a);
            self.fetch(chunk, head, &rows, 1);
            gate.read(chunk.ops, self.q, state, self.o, false);
            let values = (chunk.values(), chunk.sizes);
            add_inside(chunk.ops, places, self.a, values, self.o);
            self.queries
                .write(head, rows.clone(), self.o, chunk.sizes.v_row);
        }
    }

    /// Answers rows that see all that the state holds.
    fn behind(&mut self, chunk: &Chunk<'_>, group: Range<usize>, state: &[f32]) {
        let Sizes {
            d,
            dv,
            d_row,
            v_row,
        } = chunk.sizes;
        for head in self.queries.heads.clone() {
            self.load(chunk, head, group.clone());
            let right = Right {
                data: state,
                step: v_row,
            };
            let to = To {
                data: &mut *self.o,
                row: v_row,
            };
            chunk.ops.product(
                rows(self.q, d_row),
                right,
                (group.len(), d, dv),
                to,
                How::PUT,
            );
            self.queries.write(head, group.clone(), self.o, v_row);
        }
    }
}

/// Queries times the scale, of unit length where the rule says so; gives the norms' reciprocals.
pub(super) fn load_queries(
    chunk: &Chunk<'_>,
    from: ndarray::ArrayView2<'_, f32>,
    scale: f32,
    q: &mut [f32],
    count: usize,
) -> [f32; CHUNK] {
    let Sizes { d, d_row, .. } = chunk.sizes;
    let mut norms = [1.0; CHUNK];
    if chunk.rule.delta {
        chunk.ops.copy(from, 1.0, q, d_row);
        chunk.ops.unit(q, (count, d, d_row), scale, &mut norms);
    } else {
        chunk.ops.copy(from, scale, q, d_row);
    }
    norms
}
