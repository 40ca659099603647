//! State and last keys between calls: the same time for a token at any position.

use super::attention::Quadratic;
use super::blocks::Run;
use super::rule::Sizes;
use super::walk::{Keys, Walk};
use crate::feature::map::CHUNK;
use crate::feature::sheet::Sheet;
use crate::feature::state::State;
use crate::history::{self, History};
use ::attention::{
    Attention, OutputMut, Prepared, Problem, Result, Scratch, Shape, Workers, expect_shape,
};
use ndarray::{Array4, ArrayD, ArrayView2, ArrayView4, Axis, s};
use std::sync::atomic::{AtomicU64, Ordering};

/// What one history and key head has left behind.
struct Kept {
    /// The state of whole blocks.
    state: Vec<f32>,
    /// Keys in it.
    held: usize,
    /// The keys behind them as they came `[n, D]`, and their values `[n, Dv]`.
    k: Vec<f32>,
    v: Vec<f32>,
    /// n.
    count: usize,
}

struct States {
    variant: Quadratic,
    /// `nq` and `nk` are those of no call.
    shape: Shape,
    scale: f32,
    learned: Vec<(&'static str, ArrayD<f32>)>,
    histories: Vec<History>,
    sizes: Sizes,
    /// `[B, Hkv]`.
    kept: Vec<Kept>,
    /// Of a worker.
    memory: Vec<f32>,
}

/// Absorbs the keys of a problem. The caller has checked mask and tensors.
pub(super) fn prepare(
    variant: &Quadratic,
    problem: &Problem<'_>,
    workers: &Workers,
) -> Box<dyn Prepared> {
    let (geometry, shape) = (problem.geometry(), *problem.shape());
    let sizes = variant.rule.sizes(geometry);
    let floats = Walk::floats(sizes);
    let near = sizes.near + CHUNK;
    let mut kept: Vec<_> = (0..shape.b * shape.hkv)
        .map(|_| {
            let mut state = vec![0.0; sizes.state.state()];
            State::over(&mut state, sizes.state).clear();
            Kept {
                state,
                count: 0,
                held: 0,
                k: Vec::with_capacity(near * shape.d),
                v: Vec::with_capacity(near * shape.dv),
            }
        })
        .collect();
    let histories = History::all(geometry);
    let tasks = kept.iter_mut().enumerate();
    workers.run(tasks, &mut Scratch::new(), floats, |(at, kept), memory| {
        let (sequence, key_head) = (at / shape.hkv, at % shape.hkv);
        let head = problem.head(sequence, key_head * (shape.h / shape.hkv));
        let keys = histories[sequence].keys;
        let walk = Walk::new(
            (variant.isa, &variant.rule, sizes),
            (problem, key_head),
            memory,
        );
        let part = s![..keys, ..];
        kept.append(walk, head.k.slice(part), head.v.slice(part));
    });
    let learned = variant.tensors(geometry).into_iter();
    let learned =
        learned.filter_map(|spec| Some((spec.name, problem.tensor(spec.name)?.to_owned())));
    Box::new(States {
        variant: *variant,
        shape,
        scale: problem.scale(),
        learned: learned.collect(),
        histories,
        sizes,
        kept,
        memory: vec![0.0; floats],
    })
}

impl Kept {
    /// Appends keys, and moves the blocks that are near to no later query into the state.
    fn append(&mut self, mut walk: Walk<'_>, k: ArrayView2<'_, f32>, v: ArrayView2<'_, f32>) {
        walk.state.copy_from(&self.state);
        walk.held = self.held;
        for at in (0..k.nrows()).step_by(CHUNK) {
            let rows = s![at..k.nrows().min(at + CHUNK), ..];
            let (k, v) = (k.slice(rows), v.slice(rows));
            self.k.extend(k.iter());
            self.v.extend(v.iter());
            self.count += k.nrows();
            let block = (self.held + self.count - 1) / CHUNK;
            let end = walk.rule.first_near(block) * CHUNK;
            let gone = end.saturating_sub(self.held);
            if gone > 0
                && let Some(keys) = self.keys(k.ncols(), v.ncols())
            {
                walk.absorb(keys, end);
                self.held = end;
                self.count -= gone;
                self.k.drain(..gone * k.ncols());
                self.v.drain(..gone * v.ncols());
            }
        }
        walk.state.copy_to(&mut self.state);
    }

    /// The keys that are not in the state.
    fn keys(&self, d: usize, dv: usize) -> Option<Keys<'_>> {
        Some(Keys {
            k: ArrayView2::from_shape((self.count, d), &self.k).ok()?,
            v: ArrayView2::from_shape((self.count, dv), &self.v).ok()?,
            start: self.held,
        })
    }
}

/// Q, K and V with what the rule needs beside them.
fn problem<'a>(
    [q, k, v]: [ArrayView4<'a, f32>; 3],
    learned: &'a [(&'static str, ArrayD<f32>)],
    scale: f32,
) -> Result<Problem<'a>> {
    let problem = Problem::new(q, k, v)?.with_scale(scale);
    let tensors = learned.iter();
    Ok(tensors.fold(problem, |problem, (name, tensor)| {
        problem.with_tensor(name, tensor.view())
    }))
}

impl Prepared for States {
    fn forward(
        &self,
        q: ArrayView4<'_, f32>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Shape {
            b, h, hkv, d, dv, ..
        } = self.shape;
        let nq = q.dim().2;
        expect_shape("Q", "[B, H, Nq, D]", q.shape(), &[b, h, nq, d])?;
        let no_keys = |width| Array4::zeros((b, hkv, 0, width));
        let (k, v) = (no_keys(d), no_keys(dv));
        let problem = problem([q, k.view(), v.view()], &self.learned, self.scale)?;
        self.variant.capabilities().admit(&problem, &out)?;
        let rule = &self.variant.rule;
        history::expect_all_seen(rule.name, &self.histories, nq)?;
        let sheet = Sheet::of_queries(out.o, problem.geometry());
        let guarded = AtomicU64::new(0);
        let floats = Walk::floats(self.sizes);
        workers.run(0..b * hkv, scratch, floats, |at, memory| {
            let (sequence, key_head) = (at / hkv, at % hkv);
            let kept = &self.kept[at];
            let group = key_head * (h / hkv)..(key_head + 1) * (h / hkv);
            let Some(keys) = kept.keys(d, dv).filter(|_| kept.count > 0) else {
                group.for_each(|head| sheet.clear(sequence, head, 0..nq));
                return;
            };
            let of = (&problem, key_head);
            let mut walk = Walk::new((self.variant.isa, rule, self.sizes), of, memory);
            walk.state.copy_from(&kept.state);
            walk.held = kept.held;
            for head in group {
                let head = problem.head(sequence, head);
                for first in (0..nq).step_by(CHUNK) {
                    let queries = first..nq.min(first + CHUNK);
                    let run = Run::alike(queries, kept.held + kept.count);
                    walk.answer(&head, keys, &run, &sheet);
                }
            }
            guarded.fetch_add(walk.guarded, Ordering::Relaxed);
        });
        scratch.note_guarded(guarded.into_inner());
        Ok(())
    }

    fn append(&mut self, k: ArrayView4<'_, f32>, v: ArrayView4<'_, f32>) -> Result<()> {
        let Shape { b, hkv, d, dv, .. } = self.shape;
        let n = k.dim().2;
        expect_shape("K", "[B, Hkv, n, D]", k.shape(), &[b, hkv, n, d])?;
        expect_shape("V", "[B, Hkv, n, Dv]", v.shape(), &[b, hkv, n, dv])?;
        let problem = problem([k, k, v], &self.learned, self.scale)?;
        for (at, kept) in self.kept.iter_mut().enumerate() {
            let (sequence, key_head) = (at / hkv, at % hkv);
            let rule = (self.variant.isa, &self.variant.rule, self.sizes);
            let walk = Walk::new(rule, (&problem, key_head), &mut self.memory);
            let part = |x: ArrayView4<'_, f32>| {
                let x = x.index_axis_move(Axis(0), sequence);
                x.index_axis_move(Axis(0), key_head).to_owned()
            };
            kept.append(walk, part(k).view(), part(v).view());
        }
        self.histories
            .iter_mut()
            .for_each(|history| history.grow(n));
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let floats = |kept: &Kept| kept.state.len() + kept.k.capacity() + kept.v.capacity();
        4 * self.kept.iter().map(floats).sum::<usize>() as u64
    }
}
