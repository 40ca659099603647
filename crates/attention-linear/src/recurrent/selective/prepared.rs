//! A state kept between calls: the recurrent form, with the same time for a token at any position.

#![allow(unsafe_code)]

use super::super::CHUNK;
use super::super::ops::{CHANNELS, How, Ops, Right, To, rows};
use super::super::shared::Shared;
use super::super::support::Check;
use super::super::support::take;
use super::chunk::Chunk;
use super::{NAME, forward::tasks};
use crate::history::{self, History};
use attention::{
    Geometry, Mask, OutputMut, Prepared, Problem, Result, Scratch, Shape, Workers, expect_shape,
};
use ndarray::{ArrayD, ArrayView4, ArrayViewD, s};

struct States {
    ops: Ops,
    check: Check,
    /// `nq` and `nk` are those of no call.
    shape: Shape,
    scale: f32,
    histories: Vec<History>,
    /// A state `[row, 16]` and the last value `[16]` of each group of channels, by head.
    states: Vec<f32>,
    log_rate: ArrayD<f32>,
    skip: ArrayD<f32>,
    /// Of a worker, zero where it has not been written.
    memory: Vec<f32>,
}

fn state_floats(shape: &Shape) -> usize {
    (shape.d.next_multiple_of(16) + 1) * CHANNELS
}

/// Absorbs the keys of a problem. The caller has checked mask and tensors' shapes.
pub(super) fn prepare(
    ops: Ops,
    problem: &Problem<'_>,
    workers: &Workers,
    check: Check,
) -> Result<Box<dyn Prepared>> {
    let shape = *problem.shape();
    let histories = History::all(problem.geometry());
    check(problem, &|s| histories[s].keys)?;
    let each = state_floats(&shape);
    let mut states = vec![0.0; tasks(&shape) * each];
    let floats = Chunk::floats(&shape);
    let parts = states.chunks_mut(each).enumerate();
    workers.run(
        parts,
        &mut Scratch::new(),
        floats,
        |(task, state), memory| {
            memory.fill(0.0);
            absorb(ops, problem, task, &|s| histories[s].keys, state, memory);
        },
    );
    let learned = |name| {
        let tensor = problem.tensor(name);
        tensor.map_or_else(|| ArrayD::zeros(vec![0]), |t| t.to_owned())
    };
    Ok(Box::new(States {
        ops,
        check,
        shape,
        scale: problem.scale(),
        histories,
        states,
        log_rate: learned("log_rate"),
        skip: learned("skip"),
        memory: vec![0.0; floats],
    }))
}

/// Where a task's head and channels are.
fn place(shape: &Shape, task: usize) -> ((usize, usize), std::ops::Range<usize>) {
    let groups = shape.dv.div_ceil(CHANNELS);
    let (head, group) = (task / groups, task % groups);
    let columns = group * CHANNELS..shape.dv.min((group + 1) * CHANNELS);
    ((head / shape.hkv, head % shape.hkv), columns)
}

fn absorb(
    ops: Ops,
    problem: &Problem<'_>,
    task: usize,
    keys: &dyn Fn(usize) -> usize,
    state: &mut [f32],
    memory: &mut [f32],
) {
    let (place, columns) = place(problem.shape(), task);
    let memory = &mut &mut *memory;
    let mut chunk = Chunk::new(ops, problem, place, columns, memory);
    let (state, last) = state.split_at_mut(chunk.row * CHANNELS);
    let end = keys(place.0);
    for first in (0..end).step_by(CHUNK) {
        chunk.load(first..end.min(first + CHUNK));
        ops.scan(chunk.steps(&[], &[]), state, &mut []);
        let v = (chunk.keys.len() - 1) * CHANNELS;
        last.copy_from_slice(&chunk.v[v..v + CHANNELS]);
    }
}

impl Prepared for States {
    fn forward(
        &self,
        q: ArrayView4<'_, f32>,
        mut out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Shape {
            b, h, hkv, d, dv, ..
        } = self.shape;
        let nq = q.dim().2;
        expect_shape("Q", "[B, H, Nq, D]", q.shape(), &[b, h, nq, d])?;
        let shape = Shape {
            nq,
            nk: 0,
            ..self.shape
        };
        out.check(&Geometry::padded(shape, Mask::full())?)?;
        history::expect_all_seen(NAME, &self.histories, nq)?;
        let q = q.as_standard_layout();
        let out = Shared::of(&mut out.o);
        let (row, each) = (d.next_multiple_of(16), state_floats(&self.shape));
        let groups = dv.div_ceil(CHANNELS);
        let floats = CHUNK * (row + CHANNELS);
        workers.run(0..b * h, scratch, floats, |task, memory| {
            let memory = &mut &mut *memory;
            let (sequence, head) = (task / h, task % h);
            let (part, o) = (take(memory, CHUNK * row), take(memory, CHUNK * CHANNELS));
            let at = (sequence * hkv + head / (h / hkv)) * groups;
            for first in (0..nq).step_by(CHUNK) {
                let of = first..nq.min(first + CHUNK);
                let from = q.slice(s![sequence, head, of.clone(), ..]);
                self.ops.copy(from, self.scale, part, row);
                for group in 0..groups {
                    let state = &self.states[(at + group) * each..][..each];
                    let (state, last) = state.split_at(row * CHANNELS);
                    let right = Right {
                        data: state,
                        step: CHANNELS,
                    };
                    let to = To {
                        data: &mut *o,
                        row: CHANNELS,
                    };
                    let size = (of.len(), d, CHANNELS);
                    self.ops.product(rows(part, row), right, size, to, How::PUT);
                    let (key_head, columns) = (head / (h / hkv), place(&self.shape, group).1);
                    for (r, i) in of.clone().enumerate() {
                        let width = columns.len();
                        // SAFETY: the queries of a head belong to its task alone.
                        let to = unsafe { out.row([sequence, head, i], columns.start, width) };
                        for (lane, to) in to.iter_mut().enumerate() {
                            let skip = self.skip[[key_head, columns.start + lane]];
                            let value = o[r * CHANNELS + lane] + skip * last[lane];
                            let blind = self.histories[sequence].keys == 0;
                            *to = if blind { 0.0 } else { value };
                        }
                    }
                }
            }
        });
        Ok(())
    }

    fn append(&mut self, k: ArrayView4<'_, f32>, v: ArrayView4<'_, f32>) -> Result<()> {
        self.append_with(k, v, &[])
    }

    fn append_with(
        &mut self,
        k: ArrayView4<'_, f32>,
        v: ArrayView4<'_, f32>,
        tensors: &[(&'static str, ArrayViewD<'_, f32>)],
    ) -> Result<()> {
        let Shape { b, hkv, d, dv, .. } = self.shape;
        let n = k.dim().2;
        expect_shape("K", "[B, Hkv, n, D]", k.shape(), &[b, hkv, n, d])?;
        expect_shape("V", "[B, Hkv, n, Dv]", v.shape(), &[b, hkv, n, dv])?;
        let mut problem = Problem::new(k, k, v)?;
        for (name, tensor) in tensors {
            problem = problem.with_tensor(name, tensor.view());
        }
        let problem = problem
            .with_tensor("log_rate", self.log_rate.view())
            .with_tensor("skip", self.skip.view());
        (self.check)(&problem, &|_| n)?;
        let states = self.states.chunks_mut(state_floats(&self.shape));
        for (task, state) in states.enumerate() {
            absorb(self.ops, &problem, task, &|_| n, state, &mut self.memory);
        }
        self.histories
            .iter_mut()
            .for_each(|history| history.grow(n));
        Ok(())
    }

    fn bytes(&self) -> u64 {
        4 * self.states.len() as u64
    }
}
