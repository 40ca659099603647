//! Gradients, by recomputation: the states before all chunks of a group of channels are kept, and
//! chunks are then taken from the last to the first with the gradient of the state.
//!
//! Groups of channels of a head follow each other, since all of them add to dQ and dK; gradients of
//! what is learned are summed over histories in their order.

#![allow(unsafe_code)]

use super::super::CHUNK;
use super::super::ops::{CHANNELS, How, Ops, Right, StepGradients, To, columns, rows};
use super::super::shared::Shared;
use super::super::support::{take, visible_keys};
use super::chunk::Chunk;
use super::forward::{Readers, floats as forward_floats};
use attention::{Geometry, Gradients, Problem, Scratch, Workers};
use ndarray::{ArrayD, ArrayView4, s};
use std::ops::Range;

/// Floats of a worker.
fn floats(geometry: &Geometry) -> usize {
    let shape = geometry.shape();
    let row = shape.d.next_multiple_of(16);
    let group = (shape.h / shape.hkv.max(1)).max(1);
    let longest = (0..shape.b).map(|s| geometry.key_range(s).len()).max();
    let states = longest.unwrap_or(0).div_ceil(CHUNK) + 1;
    forward_floats(shape)
        + (states + 3) * row * CHANNELS
        + CHUNK * (row + 2 * CHANNELS)
        + group * CHUNK * row
        + Ops::SCAN_FLOATS
}

/// Gradients of what one history and head learn from: `log_rate` `[Dv, D]`, `skip` `[Dv]`.
fn learned(geometry: &Geometry) -> usize {
    let shape = geometry.shape();
    shape.dv * (shape.d + 1)
}

pub(super) fn scratch_bytes(geometry: &Geometry, threads: usize) -> u64 {
    let shape = geometry.shape();
    let heads = shape.b * shape.hkv;
    let workers = threads.min(heads).max(1);
    let worker = floats(geometry).next_multiple_of(16);
    Scratch::bytes_for(1, heads * learned(geometry) + workers * worker)
}

struct Targets<'a> {
    dq: Shared<'a>,
    dk: Shared<'a>,
    dv: Shared<'a>,
    step: Option<Shared<'a>>,
}

/// Writes the gradients. The caller has checked shapes, mask and tensors.
pub(super) fn backward(
    ops: Ops,
    problem: &Problem<'_>,
    d_o: ArrayView4<'_, f32>,
    out: &mut Gradients,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    // Groups of channels add to dQ and dK, and what no query reads has no gradient.
    out.fill(0.0);
    let (geometry, shape) = (problem.geometry(), *problem.shape());
    let (mut log_rate, mut skip, mut step) = (None, None, None);
    for (name, tensor) in &mut out.tensors {
        match *name {
            "log_rate" => log_rate = Some(tensor),
            "skip" => skip = Some(tensor),
            "step" => step = Some(Shared::of(tensor)),
            _ => {}
        }
    }
    let targets = Targets {
        dq: Shared::of(&mut out.dq),
        dk: Shared::of(&mut out.dk),
        dv: Shared::of(&mut out.dv),
        step,
    };
    let d_o = d_o.as_standard_layout();
    let heads = shape.b * shape.hkv;
    let (each, worker) = (learned(geometry), floats(geometry).next_multiple_of(16));
    let count = workers.threads().min(heads).max(1);
    let memory = scratch.part(heads * each + count * worker);
    let (own, memory) = memory.split_at_mut(heads * each);
    own.fill(0.0);
    if each > 0 {
        let tasks = own.chunks_mut(each).enumerate();
        let parts = memory.chunks_exact_mut(worker);
        workers.run_on(tasks, parts, |(task, learned), memory| {
            let task = Task {
                problem,
                place: (task / shape.hkv, task % shape.hkv),
                d_o: d_o.view(),
                targets: &targets,
            };
            task.run(ops, learned, memory);
        });
    }
    let merge = |tensor: Option<&mut ArrayD<f32>>, part: Range<usize>| {
        let Some(all) = tensor.and_then(|t| t.as_slice_mut()) else {
            return;
        };
        for (task, learned) in own.chunks(each.max(1)).enumerate() {
            let to = &mut all[task % shape.hkv * part.len()..][..part.len()];
            let pairs = to.iter_mut().zip(&learned[part.clone()]);
            pairs.for_each(|(to, x)| *to += x);
        }
    };
    let rates = shape.dv * shape.d;
    merge(log_rate, 0..rates);
    merge(skip, rates..each);
}

/// One history and key head.
struct Task<'t, 'p> {
    problem: &'t Problem<'p>,
    place: (usize, usize),
    d_o: ArrayView4<'t, f32>,
    targets: &'t Targets<'t>,
}

/// Scratch of gradients of a group of channels.
struct Memory<'m> {
    states: &'m mut [f32],
    d_state: &'m mut [f32],
    state_t: &'m mut [f32],
    d_rates: &'m mut [f32],
    d_step: &'m mut [f32],
    d_x: &'m mut [f32],
    d_k: &'m mut [f32],
    d_q: &'m mut [f32],
    scan: &'m mut [f32],
}

impl Task<'_, '_> {
    fn run(&self, ops: Ops, learned: &mut [f32], memory: &mut [f32]) {
        let shape = self.problem.shape();
        for first in (0..shape.dv).step_by(CHANNELS) {
            memory.fill(0.0);
            let columns = first..shape.dv.min(first + CHANNELS);
            self.channels(ops, columns, learned, memory);
        }
    }

    fn channels(&self, ops: Ops, columns: Range<usize>, learned: &mut [f32], memory: &mut [f32]) {
        let shape = self.problem.shape();
        let memory = &mut &mut *memory;
        let mut chunk = Chunk::new(ops, self.problem, self.place, columns.clone(), memory);
        let mut readers = Readers::new(self.problem, &chunk, memory);
        let end = visible_keys(self.problem, self.place.0);
        let chunks = end.div_ceil(CHUNK);
        let (row, each) = (chunk.row, chunk.row * CHANNELS);
        let mut memory = Memory {
            states: take(memory, (chunks + 1) * each),
            d_state: take(memory, each),
            state_t: take(memory, each),
            d_rates: take(memory, each),
            d_step: take(memory, CHUNK * CHANNELS),
            d_x: take(memory, CHUNK * CHANNELS),
            d_k: take(memory, CHUNK * row),
            d_q: take(memory, chunk.heads.len() * CHUNK * row),
            scan: take(memory, Ops::SCAN_FLOATS),
        };
        let range = |c: usize| c * CHUNK..end.min((c + 1) * CHUNK);
        for c in 0..chunks {
            chunk.load(range(c));
            let (before, behind) = memory.states.split_at_mut((c + 1) * each);
            behind[..each].copy_from_slice(&before[c * each..]);
            ops.scan(chunk.steps(&[], &[]), &mut behind[..each], &mut []);
        }
        let mut last = chunk.head.mask.queries();
        let mut d_skip = [0.0f32; CHANNELS];
        for c in (0..chunks).rev() {
            chunk.load(range(c));
            memory.d_step.fill(0.0);
            memory.d_x.fill(0.0);
            memory.d_k.fill(0.0);
            let keys = range(c);
            let mut d_v = [0.0f32; CHUNK * CHANNELS];
            // Rows behind the last key first, a chunk at a time.
            while last > 0 && chunk.end_of(last - 1) == keys.end {
                let first = (last.saturating_sub(CHUNK)..last)
                    .find(|i| chunk.end_of(*i) == keys.end)
                    .unwrap_or(last - 1);
                let behind = &memory.states[(c + 1) * each..][..each];
                ops.transpose(behind, (row, CHANNELS, CHANNELS), memory.state_t, row);
                self.load(&mut readers, &chunk, first..last);
                self.skip(&chunk, &readers, &mut d_v, &mut d_skip);
                self.behind(ops, &chunk, &readers, &mut memory);
                self.write_queries(&chunk, first..last, memory.d_q);
                last = first;
            }
            let mut first = last;
            while first > 0 && chunk.end_of(first - 1) > keys.start {
                first -= 1;
            }
            self.load(&mut readers, &chunk, first..last);
            self.skip(&chunk, &readers, &mut d_v, &mut d_skip);
            memory.d_q.fill(0.0);
            let gradients = StepGradients {
                state: memory.d_state,
                rates: memory.d_rates,
                step: memory.d_step,
                x: memory.d_x,
                k: memory.d_k,
                q: memory.d_q,
            };
            let before = &memory.states[c * each..][..each];
            let steps = chunk.steps(readers.q, readers.at());
            ops.scan_backward(steps, before, readers.o, gradients, memory.scan);
            self.write_queries(&chunk, first..last, memory.d_q);
            last = first;
            self.write_keys(&chunk, &memory, &mut d_v);
        }
        for (lane, c) in columns.enumerate() {
            for n in 0..shape.d {
                // d(exp(Δ·A)) by ln(-A) is A times that by A.
                let at = n * CHANNELS + lane;
                let rate = chunk.rates[at] * std::f32::consts::LN_2;
                learned[c * shape.d + n] = memory.d_rates[at] * rate;
            }
            learned[shape.dv * shape.d + c] = d_skip[lane];
        }
    }

    /// Loads rows, and dO in place of O.
    fn load(&self, readers: &mut Readers<'_, '_, '_>, chunk: &Chunk<'_, '_>, part: Range<usize>) {
        readers.load(chunk, part.clone());
        let geometry = self.problem.geometry();
        let batch = if geometry.is_jagged() {
            0
        } else {
            self.place.0
        };
        let start = geometry.query_range(self.place.0).start;
        let tokens = start + part.start..start + part.end;
        let group = chunk.heads.len();
        for (g, head) in chunk.heads.clone().enumerate() {
            let d_o = self
                .d_o
                .slice(s![batch, head, tokens.clone(), chunk.columns.clone()]);
            let to = &mut readers.o[g * CHANNELS..];
            chunk.ops.copy(d_o, 1.0, to, group * CHANNELS);
        }
    }

    /// What rows read of the last value.
    fn skip(
        &self,
        chunk: &Chunk<'_, '_>,
        readers: &Readers<'_, '_, '_>,
        d_v: &mut [f32],
        d_skip: &mut [f32],
    ) {
        let group = chunk.heads.len();
        for (n, d_o) in readers
            .o
            .chunks_exact(CHANNELS)
            .take(readers.rows())
            .enumerate()
        {
            let at = readers.at()[n / group];
            for (lane, skip) in chunk.skip.iter().enumerate() {
                d_v[at * CHANNELS + lane] += skip * d_o[lane];
                d_skip[lane] += chunk.v[at * CHANNELS + lane] * d_o[lane];
            }
        }
    }

    /// Rows that read the state behind the chunk, whose transpose is at hand.
    fn behind(
        &self,
        ops: Ops,
        chunk: &Chunk<'_, '_>,
        readers: &Readers<'_, '_, '_>,
        memory: &mut Memory<'_>,
    ) {
        let (row, count) = (chunk.row, readers.rows());
        let right = Right {
            data: readers.o,
            step: CHANNELS,
        };
        let to = To {
            data: &mut *memory.d_state,
            row: CHANNELS,
        };
        ops.product(
            columns(readers.q, row),
            right,
            (row, count, CHANNELS),
            to,
            How::ADD,
        );
        let right = Right {
            data: memory.state_t,
            step: row,
        };
        let to = To {
            data: &mut *memory.d_q,
            row,
        };
        let left = rows(readers.o, CHANNELS);
        ops.product(left, right, (count, CHANNELS, row), to, How::PUT);
    }

    fn write_queries(&self, chunk: &Chunk<'_, '_>, part: Range<usize>, d_q: &[f32]) {
        let geometry = self.problem.geometry();
        let batch = if geometry.is_jagged() {
            0
        } else {
            self.place.0
        };
        let start = geometry.query_range(self.place.0).start;
        let (d, group) = (self.problem.shape().d, chunk.heads.len());
        for (r, i) in part.enumerate() {
            for (g, head) in chunk.heads.clone().enumerate() {
                let from = &d_q[(r * group + g) * chunk.row..][..d];
                // SAFETY: the queries of these heads belong to this task alone.
                let to = unsafe { self.targets.dq.row([batch, head, start + i], 0, d) };
                let pairs = to.iter_mut().zip(from);
                pairs.for_each(|(to, x)| *to += self.problem.scale() * x);
            }
        }
    }

    fn write_keys(&self, chunk: &Chunk<'_, '_>, memory: &Memory<'_>, d_v: &mut [f32]) {
        let geometry = self.problem.geometry();
        let batch = if geometry.is_jagged() {
            0
        } else {
            self.place.0
        };
        let start = geometry.key_range(self.place.0).start;
        let (d, width, first) = (
            self.problem.shape().d,
            chunk.columns.len(),
            chunk.columns.start,
        );
        for (r, j) in chunk.keys.clone().enumerate() {
            let at = [batch, self.place.1, start + j];
            let own = r * CHANNELS..r * CHANNELS + width;
            let [d_x, x_step, v] = [&*memory.d_x, &*chunk.step, &*chunk.v].map(|x| &x[own.clone()]);
            // SAFETY: the keys of this history and head belong to this task alone.
            let d_k = unsafe { self.targets.dk.row(at, 0, d) };
            let pairs = d_k.iter_mut().zip(&memory.d_k[r * chunk.row..]);
            pairs.for_each(|(to, x)| *to += x);
            // SAFETY: as above.
            let to = unsafe { self.targets.dv.row(at, first, width) };
            for lane in 0..width {
                to[lane] = d_v[r * CHANNELS + lane] + d_x[lane] * x_step[lane];
            }
            if let Some(step) = &self.targets.step {
                // SAFETY: as above.
                let to = unsafe { step.row(at, first, width) };
                // Rates were binary.
                let by_decay = &memory.d_step[own];
                for lane in 0..width {
                    to[lane] = by_decay[lane] * std::f32::consts::LN_2 + d_x[lane] * v[lane];
                }
            }
        }
    }
}
