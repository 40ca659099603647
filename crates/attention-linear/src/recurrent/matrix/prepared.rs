//! A state kept between calls: the recurrent form, with the same time for a token at any position.

#![allow(unsafe_code)]

use super::super::CHUNK;
use super::super::ops::{How, Right, To, rows};
use super::super::shared::Shared;
use super::super::support::Check;
use super::chunk::{Chunk, Keys, lanes, scalar};
use super::forward::{floats, load_queries, walk};
use super::{Decays, Rule, Sizes, take};
use crate::history::{self, History};
use attention::{
    Geometry, Mask, OutputMut, Prepared, Problem, Result, Scratch, Shape, Workers, expect_shape,
};
use ndarray::{ArrayView4, ArrayViewD, s};

struct States {
    name: &'static str,
    rule: Rule,
    check: Check,
    /// `nq` and `nk` are those of no call.
    shape: Shape,
    scale: f32,
    histories: Vec<History>,
    /// `[B, Hkv]` states, each of [`Sizes::state`] floats.
    states: Vec<f32>,
    /// Of a worker, zero where it has not been written.
    memory: Vec<f32>,
}

/// Absorbs the keys of a problem. The caller has checked mask and tensors' shapes.
pub(crate) fn prepare(
    name: &'static str,
    rule: &Rule,
    problem: &Problem<'_>,
    workers: &Workers,
    check: Check,
) -> Result<Box<dyn Prepared>> {
    let (geometry, shape) = (problem.geometry(), *problem.shape());
    let histories = History::all(geometry);
    check(problem, &|s| histories[s].keys)?;
    let sizes = Sizes::of(shape.d, shape.dv);
    let floats = floats(rule, &sizes);
    let mut states = vec![0.0; shape.b * shape.hkv * sizes.state()];
    let parts = states.chunks_mut(sizes.state().max(1)).enumerate();
    workers.run(parts, &mut Scratch::new(), floats, |(at, state), memory| {
        memory.fill(0.0);
        let place = (at / shape.hkv, at % shape.hkv);
        absorb(rule, problem, place, histories[place.0].keys, state, memory);
    });
    Ok(Box::new(States {
        name,
        rule: *rule,
        check,
        shape,
        scale: problem.scale(),
        histories,
        states,
        memory: vec![0.0; floats],
    }))
}

fn absorb(
    rule: &Rule,
    problem: &Problem<'_>,
    place: (usize, usize),
    keys: usize,
    state: &mut [f32],
    memory: &mut [f32],
) {
    let shape = problem.shape();
    let sizes = Sizes::of(shape.d, shape.dv);
    let memory = &mut &mut *memory;
    let source = Keys::of(problem, place, 0..shape.dv);
    let chunk = Chunk::new(*rule, sizes, memory);
    if rule.decays == Decays::Lanes {
        let gate = lanes(problem, place, sizes, memory);
        walk(chunk, gate, &source, keys, state, None);
    } else {
        let gate = scalar(rule, problem, place, sizes, memory);
        walk(chunk, gate, &source, keys, state, None);
    }
}

impl States {
    fn sizes(&self) -> Sizes {
        Sizes::of(self.shape.d, self.shape.dv)
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
        history::expect_all_seen(self.name, &self.histories, nq)?;
        let q = q.as_standard_layout();
        let out = Shared::of(&mut out.o);
        let sizes = self.sizes();
        let (rule, state) = (self.rule, sizes.state());
        let needed = Chunk::floats(&rule, &sizes) + CHUNK * (sizes.d_row + sizes.v_row);
        workers.run(0..b * h, scratch, needed, |task, memory| {
            memory.fill(0.0);
            let memory = &mut &mut *memory;
            let (sequence, head) = (task / h, task % h);
            let rows_of = take(memory, CHUNK * sizes.d_row);
            let o = take(memory, CHUNK * sizes.v_row);
            let chunk = Chunk::new(rule, sizes, memory);
            let at = sequence * hkv + head / (h / hkv);
            let blind = self.histories[sequence].keys == 0;
            for first in (0..nq).step_by(CHUNK) {
                let part = first..nq.min(first + CHUNK);
                let count = part.len();
                let from = q.slice(s![sequence, head, part.clone(), ..]);
                load_queries(&chunk, from, self.scale, rows_of, count);
                let right = Right {
                    data: &self.states[at * state..(at + 1) * state],
                    step: sizes.v_row,
                };
                let to = To {
                    data: &mut *o,
                    row: sizes.v_row,
                };
                let size = (count, d, dv);
                chunk
                    .ops
                    .product(rows(rows_of, sizes.d_row), right, size, to, How::PUT);
                for (r, i) in part.enumerate() {
                    // SAFETY: the queries of a head belong to its task alone.
                    let to = unsafe { out.row([sequence, head, i], 0, dv) };
                    let row = &o[r * sizes.v_row..r * sizes.v_row + dv];
                    to.iter_mut()
                        .zip(row)
                        .for_each(|(to, x)| *to = if blind { 0.0 } else { *x });
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
        (self.check)(&problem, &|_| n)?;
        let each = self.sizes().state().max(1);
        for (at, state) in self.states.chunks_mut(each).enumerate() {
            let place = (at / hkv, at % hkv);
            absorb(&self.rule, &problem, place, n, state, &mut self.memory);
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
