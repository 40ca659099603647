//! Gradients, by recomputation: the states before all chunks are kept, and chunks are then taken from
//! the last to the first with the gradient of the state.
//!
//! Memory: N/32 states of D·Dv floats a worker, which for D = Dv = 64 is twice as much as K. Where a key or
//! value is not finite, the gradients of its whole chunk are not.

#![allow(unsafe_code)]

use super::super::CHUNK;
use super::super::shared::Shared;
use super::super::support::visible_keys;
use super::chunk::{Chunk, Keys, lanes, scalar};
use super::forward::load_queries;
use super::gate::{Gate, Grown, Places, Read};
use super::{Decays, Rule, Sizes, take};
use attention::{Geometry, Gradients, Problem, Scratch, Workers};
use ndarray::{ArrayView4, s};
use std::ops::Range;

/// Floats of a worker: all the states of the longest history and the chunk's gradients.
pub(super) fn floats(rule: &Rule, geometry: &Geometry) -> usize {
    let shape = geometry.shape();
    let sizes = Sizes::of(shape.d, shape.dv);
    let longest = (0..shape.b).map(|s| geometry.key_range(s).len()).max();
    let states = longest.unwrap_or(0).div_ceil(CHUNK) + 1;
    let transposed = 2 * sizes.dv * sizes.d_row;
    let by_key = 3 * sizes.d_row.max(1) + 2 * sizes.v_row;
    let rows = 2 * sizes.d_row + sizes.v_row + CHUNK;
    let delta = if rule.delta { sizes.v_row } else { 0 };
    let chunk = Chunk::floats(rule, &sizes) + rule.gate_floats(&sizes);
    let value_columns = CHUNK * sizes.dv.next_multiple_of(16);
    (states + 1) * sizes.state().next_multiple_of(16)
        + transposed
        + CHUNK * (by_key + rows + delta)
        + value_columns
        + chunk
}

/// Where gradients go.
struct Targets<'a> {
    dq: Shared<'a>,
    dk: Shared<'a>,
    dv: Shared<'a>,
    beta: Option<Shared<'a>>,
    log_decay: Option<Shared<'a>>,
}

/// Writes the gradients. The caller has checked shapes, mask and tensors.
pub(crate) fn backward(
    rule: &Rule,
    problem: &Problem<'_>,
    d_o: ArrayView4<'_, f32>,
    out: &mut Gradients,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    // What no query reads has no gradient.
    out.fill(0.0);
    let (mut beta, mut log_decay) = (None, None);
    for (name, tensor) in &mut out.tensors {
        match *name {
            "beta" if rule.delta => beta = Some(Shared::of(tensor)),
            "log_decay" if rule.decays.are_given() => log_decay = Some(Shared::of(tensor)),
            _ => {}
        }
    }
    let targets = Targets {
        dq: Shared::of(&mut out.dq),
        dk: Shared::of(&mut out.dk),
        dv: Shared::of(&mut out.dv),
        beta,
        log_decay,
    };
    let d_o = d_o.as_standard_layout();
    let shape = problem.shape();
    let floats = floats(rule, problem.geometry());
    let hkv = shape.hkv;
    let tasks = (0..shape.b * hkv).map(|task| (task / hkv, task % hkv));
    workers.run(tasks, scratch, floats, |place, memory| {
        memory.fill(0.0);
        let memory = &mut &mut *memory;
        let sizes = Sizes::of(shape.d, shape.dv);
        let task = Task {
            problem,
            place,
            d_o: d_o.view(),
            targets: &targets,
        };
        let chunk = Chunk::new(*rule, sizes, memory);
        if rule.decays == Decays::Lanes {
            task.run(chunk, lanes(problem, place, sizes, memory), memory);
        } else {
            let gate = scalar(rule, problem, place, sizes, memory);
            task.run(chunk, gate, memory);
        }
    });
}

/// One history and key head.
struct Task<'t, 'p> {
    problem: &'t Problem<'p>,
    place: (usize, usize),
    d_o: ArrayView4<'t, f32>,
    targets: &'t Targets<'t>,
}

/// Scratch of the gradients of a chunk.
struct Memory<'m> {
    /// dS `[D, Dv]`, and Sᵀ, dSᵀ `[Dv, D]`.
    d_state: &'m mut [f32],
    state_t: &'m mut [f32],
    d_state_t: &'m mut [f32],
    /// dK, and what keys get as readers `[C, D]`.
    d_k: &'m mut [f32],
    d_own: &'m mut [f32],
    /// Gradients of the logarithms of decays.
    logs: &'m mut [f32],
    /// V, dU `[C, Dv]`, Uᵀ `[Dv, C]`, and Y of the delta rule.
    v: &'m mut [f32],
    d_u: &'m mut [f32],
    u_t: &'m mut [f32],
    y: &'m mut [f32],
    /// Q, dQ, dO, A of reading rows.
    q: &'m mut [f32],
    d_q: &'m mut [f32],
    d_o: &'m mut [f32],
    a: &'m mut [f32],
}

impl<'m> Memory<'m> {
    fn new(rule: &Rule, sizes: &Sizes, rest: &mut &'m mut [f32]) -> Self {
        let Sizes {
            dv, d_row, v_row, ..
        } = *sizes;
        Self {
            d_state: take(rest, sizes.state()),
            state_t: take(rest, dv * d_row),
            d_state_t: take(rest, dv * d_row),
            d_k: take(rest, CHUNK * d_row),
            d_own: take(rest, CHUNK * d_row),
            logs: take(rest, CHUNK * d_row.max(1)),
            v: take(rest, CHUNK * v_row),
            d_u: take(rest, CHUNK * v_row),
            u_t: take(rest, dv * CHUNK),
            y: take(rest, if rule.delta { CHUNK * v_row } else { 0 }),
            q: take(rest, CHUNK * d_row),
            d_q: take(rest, CHUNK * d_row),
            d_o: take(rest, CHUNK * v_row),
            a: take(rest, CHUNK * CHUNK),
        }
    }
}

impl Task<'_, '_> {
    fn run<G: Gate>(&self, mut chunk: Chunk<'_>, mut gate: G, memory: &mut &mut [f32]) {
        let (sizes, ops) = (chunk.sizes, chunk.ops);
        let keys = Keys::of(self.problem, self.place, 0..sizes.dv);
        let end = visible_keys(self.problem, self.place.0);
        let chunks = end.div_ceil(CHUNK);
        let each = sizes.state().next_multiple_of(16);
        let states = take(memory, (chunks + 1) * each);
        let mut memory = Memory::new(&chunk.rule, &sizes, memory);
        let range = |c: usize| c * CHUNK..end.min((c + 1) * CHUNK);
        for c in 0..chunks {
            chunk.load(&keys, range(c));
            gate.load(ops, range(c));
            if chunk.rule.delta {
                chunk.transpose();
            }
            let (before, behind) = states.split_at_mut((c + 1) * each);
            let (before, behind) = (&before[c * each..], &mut behind[..each]);
            chunk.solve(&mut gate, before);
            behind.copy_from_slice(before);
            gate.write(ops, chunk.k, chunk.values(), behind);
        }
        let mut last = self.problem.geometry().sequence(self.place.0).queries();
        for c in (0..chunks).rev() {
            let before = &states[c * each..][..sizes.state()];
            let behind = &states[(c + 1) * each..][..sizes.state()];
            let keys_of = range(c);
            chunk.load(&keys, keys_of.clone());
            gate.load(ops, keys_of.clone());
            chunk.transpose();
            let count = chunk.n * sizes.v_row;
            memory.v[..count].copy_from_slice(&chunk.w[..count]);
            chunk.solve(&mut gate, before);
            let rows = self.ending(keys_of.start, last);
            last = rows.start;
            self.chunk(
                &chunk,
                &mut gate,
                &mut memory,
                (before, behind),
                keys_of,
                rows,
            );
        }
    }

    /// The queries before `last` that see more than `start` keys.
    fn ending(&self, start: usize, last: usize) -> Range<usize> {
        let mask = self.problem.geometry().sequence(self.place.0);
        let mut first = last;
        while first > 0 && mask.span(first - 1).end > start {
            first -= 1;
        }
        first..last
    }

    fn chunk<G: Gate>(
        &self,
        chunk: &Chunk<'_>,
        gate: &mut G,
        memory: &mut Memory<'_>,
        (before, behind): (&[f32], &[f32]),
        keys: Range<usize>,
        rows: Range<usize>,
    ) {
        let (ops, n) = (chunk.ops, chunk.n);
        let Sizes {
            d,
            dv,
            d_row,
            v_row,
        } = chunk.sizes;
        let wants_decay = self.targets.log_decay.is_some();
        if wants_decay {
            gate.begin_gradient(ops, behind, memory.d_state);
        }
        ops.transpose(chunk.values(), (n, dv, v_row), memory.u_t, CHUNK);
        ops.transpose(before, (d, dv, v_row), memory.state_t, d_row);
        ops.transpose(memory.d_state, (d, dv, v_row), memory.d_state_t, d_row);
        let d_state = (&mut *memory.d_state, &*memory.d_state_t);
        gate.write_backward(
            ops,
            chunk.k,
            chunk.values(),
            d_state,
            memory.d_k,
            memory.d_u,
        );

        let shape = self.problem.shape();
        let group = shape.h / shape.hkv.max(1);
        for head in self.place.1 * group..(self.place.1 + 1) * group {
            for first in rows.clone().step_by(CHUNK) {
                let part = first..rows.end.min(first + CHUNK);
                self.read(chunk, gate, memory, head, part, keys.start, wants_decay);
            }
        }
        if chunk.rule.delta {
            self.delta(chunk, gate, memory, keys.start);
        }
        let d_v = if chunk.rule.delta {
            &*memory.y
        } else {
            &*memory.d_u
        };
        if let Some(shared) = &self.targets.log_decay {
            let own = [&*chunk.k, &*memory.d_k];
            gate.finish_gradient(ops, own, [&*memory.v, d_v], memory.logs);
            let (row, width) = match chunk.rule.decays {
                Decays::Lanes => (d_row, d),
                _ => (1, 1),
            };
            self.write_keys(shared, keys.clone(), memory.logs, row, width);
        }
        if chunk.rule.delta {
            undo_unit(memory.d_k, chunk.k, &chunk.norms[..n], (d, d_row), 1.0);
        }
        self.write_keys(&self.targets.dk, keys.clone(), memory.d_k, d_row, d);
        self.write_keys(&self.targets.dv, keys, d_v, v_row, dv);
    }

    /// Queries `rows` of one head.
    #[allow(clippy::too_many_arguments)]
    fn read<G: Gate>(
        &self,
        chunk: &Chunk<'_>,
        gate: &mut G,
        memory: &mut Memory<'_>,
        head: usize,
        rows: Range<usize>,
        first_key: usize,
        wants_decay: bool,
    ) {
        let ops = chunk.ops;
        let Sizes {
            d, d_row, v_row, ..
        } = chunk.sizes;
        let view = self.problem.head(self.place.0, head);
        let (scale, count) = (self.problem.scale(), rows.len());
        let q = view.q.slice(s![rows.clone(), ..]);
        let norms = load_queries(chunk, q, scale, memory.q, count);
        let geometry = self.problem.geometry();
        let batch = if geometry.is_jagged() {
            0
        } else {
            self.place.0
        };
        let start = geometry.query_range(self.place.0).start;
        let tokens = start + rows.start..start + rows.end;
        let d_o = self.d_o.slice(s![batch, head, tokens, ..]);
        ops.copy(d_o, 1.0, memory.d_o, v_row);
        let places = Places {
            first: view.mask.span(rows.start).end - 1 - first_key,
            last: chunk.n - 1,
            count,
            strict: false,
        };
        gate.place(ops, places);
        gate.scores(ops, memory.q, chunk.k, chunk.k_t, memory.a);
        let read = Read {
            x: memory.q,
            a: memory.a,
            g: memory.d_o,
            k: chunk.k,
            u_t: memory.u_t,
            state_t: memory.state_t,
        };
        let grown = Grown {
            x: memory.d_q,
            k: memory.d_k,
            u: Some(memory.d_u),
            state: memory.d_state,
        };
        gate.read_backward(ops, read, grown);
        if wants_decay {
            gate.rows_gradient(ops, memory.q, memory.d_q);
        }
        if chunk.rule.delta {
            undo_unit(memory.d_q, memory.q, &norms[..count], (d, d_row), scale);
        }
        let factor = if chunk.rule.delta { 1.0 } else { scale };
        for (r, i) in rows.enumerate() {
            // SAFETY: the queries of these heads belong to this task alone.
            let to = unsafe { self.targets.dq.row([batch, head, start + i], 0, d) };
            let from = &memory.d_q[r * d_row..r * d_row + d];
            to.iter_mut().zip(from).for_each(|(to, x)| *to = factor * x);
        }
    }

    /// The delta rule's solve, and its keys as readers of the state: leaves dV in `y`.
    fn delta<G: Gate>(
        &self,
        chunk: &Chunk<'_>,
        gate: &mut G,
        memory: &mut Memory<'_>,
        first_key: usize,
    ) {
        let (ops, n) = (chunk.ops, chunk.n);
        let Sizes {
            dv, d_row, v_row, ..
        } = chunk.sizes;
        let beta = &chunk.beta[..n];
        ops.solve_transposed(chunk.l, beta, memory.d_u, memory.y, v_row);
        if let Some(shared) = &self.targets.beta {
            let mut dots = [0.0; CHUNK];
            ops.dots(memory.d_u, chunk.w, (n, dv, v_row), &mut dots);
            self.write_keys(shared, first_key..first_key + n, &dots, 1, 1);
        }
        ops.scale(memory.y, &[-1.0; CHUNK][..n], memory.d_o, v_row);
        gate.place(ops, chunk.own_places());
        let read = Read {
            x: chunk.k,
            a: memory.a,
            g: memory.d_o,
            k: chunk.k,
            u_t: memory.u_t,
            state_t: memory.state_t,
        };
        let grown = Grown {
            x: memory.d_own,
            k: memory.d_k,
            u: None,
            state: memory.d_state,
        };
        gate.read_backward(ops, read, grown);
        let pairs = memory.d_k.iter_mut().zip(&*memory.d_own);
        pairs.take(n * d_row).for_each(|(to, x)| *to += x);
    }

    /// Writes a row for each key of a range.
    fn write_keys(
        &self,
        to: &Shared<'_>,
        keys: Range<usize>,
        from: &[f32],
        row: usize,
        width: usize,
    ) {
        let geometry = self.problem.geometry();
        let batch = if geometry.is_jagged() {
            0
        } else {
            self.place.0
        };
        let start = geometry.key_range(self.place.0).start;
        for (r, j) in keys.enumerate() {
            // SAFETY: the keys of this history and head belong to this task alone.
            let to = unsafe { to.row([batch, self.place.1, start + j], 0, width) };
            to.copy_from_slice(&from[r * row..r * row + width]);
        }
    }
}

/// Gradients by x of those by x̂ = factor·x/|x|: (dx̂ - x̂(x̂·dx̂)/factor²)·factor·norm.
fn undo_unit(
    d: &mut [f32],
    unit: &[f32],
    norms: &[f32],
    (width, row): (usize, usize),
    factor: f32,
) {
    if row == 0 {
        return;
    }
    for ((d, unit), norm) in d.chunks_mut(row).zip(unit.chunks(row)).zip(norms) {
        let (d, unit) = (&mut d[..width], &unit[..width]);
        let dot: f32 = d.iter().zip(unit).map(|(d, x)| d * x).sum();
        let along = if factor == 0.0 {
            0.0
        } else {
            dot / (factor * factor)
        };
        let pairs = d.iter_mut().zip(unit);
        pairs.for_each(|(d, x)| *d = factor * norm * (*d - x * along));
    }
}
