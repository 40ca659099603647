//! A state kept between calls: the same time for a token at any position.

use super::engine::sizes;
use super::map::CHUNK;
use super::scan::Scan;
use super::sheet::Sheet;
use super::state::{Sizes, State};
use super::variant::{Definition, Linear};
use crate::history::{self, History};
use attention::{
    Attention, Error, OutputMut, Prepared, Problem, Result, Scratch, Shape, Workers, expect_shape,
};
use ndarray::{Array4, ArrayD, ArrayView4};
use std::sync::atomic::{AtomicU64, Ordering};

struct States<D> {
    variant: Linear<D>,
    /// `nq` and `nk` are those of no call.
    shape: Shape,
    scale: f32,
    learned: Vec<(&'static str, ArrayD<f32>)>,
    histories: Vec<History>,
    sizes: Sizes,
    /// `[B, Hkv]` states.
    states: Vec<f32>,
    /// Of a worker.
    memory: Vec<f32>,
}

/// Absorbs the keys of a problem. The caller has checked mask and tensors.
///
/// # Errors
/// Where there are more keys than a state of the variant may hold.
pub(super) fn prepare<D: Definition>(
    variant: &Linear<D>,
    problem: &Problem<'_>,
    workers: &Workers,
) -> Result<Box<dyn Prepared>> {
    let (geometry, shape) = (problem.geometry(), *problem.shape());
    let histories = History::all(geometry);
    expect_room(variant, &histories, 0)?;
    let map = variant.definition.map(problem);
    let engine = variant.engine(problem, &map);
    let sizes = sizes(engine.extent, geometry);
    let floats = Scan::floats(sizes);
    let mut states = vec![0.0; shape.b * shape.hkv * sizes.state()];
    let parts = states.chunks_exact_mut(sizes.state().max(1)).enumerate();
    workers.run(parts, &mut Scratch::new(), floats, |(at, state), memory| {
        let (sequence, key_head) = (at / shape.hkv, at % shape.hkv);
        let keys = histories[sequence].keys;
        let mut state = State::over(state, sizes);
        state.clear();
        let mut scan = Scan::over(&engine, state, (key_head, 0, keys), memory);
        let head = problem.head(sequence, key_head * (shape.h / shape.hkv));
        scan.absorb(&head, 0..keys);
    });
    let learned = variant.tensors(geometry).into_iter();
    let learned =
        learned.filter_map(|spec| Some((spec.name, problem.tensor(spec.name)?.to_owned())));
    Ok(Box::new(States {
        learned: learned.collect(),
        variant: variant.clone(),
        shape,
        scale: problem.scale(),
        histories,
        sizes,
        states,
        memory: vec![0.0; floats],
    }))
}

/// Checks that every history can take `more` keys.
fn expect_room<D: Definition>(
    variant: &Linear<D>,
    histories: &[History],
    more: usize,
) -> Result<()> {
    let definition = &variant.definition;
    let longest = histories.iter().map(|h| h.keys).max().unwrap_or(0) + more;
    match definition.longest_state() {
        Some(bound) if longest > bound => Err(Error::Unsupported {
            variant: definition.name(),
            what: format!("a state of {longest} keys at horizon = {bound}"),
            reason: "features turn with the place of a token relative to the horizon, which must \
                     reach the end of the history; build the variant with a larger one",
        }),
        _ => Ok(()),
    }
}

/// Q, K and V with what the map needs beside them.
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

impl<D: Definition> Prepared for States<D> {
    fn forward(
        &self,
        q: ArrayView4<'_, f32>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Shape { b, h, hkv, d, .. } = self.shape;
        let nq = q.dim().2;
        expect_shape("Q", "[B, H, Nq, D]", q.shape(), &[b, h, nq, d])?;
        let no_keys = |width| Array4::zeros((b, hkv, 0, width));
        let (k, v) = (no_keys(d), no_keys(self.shape.dv));
        let problem = problem([q, k.view(), v.view()], &self.learned, self.scale)?;
        self.variant.capabilities().admit(&problem, &out)?;
        history::expect_all_seen(self.variant.definition.name(), &self.histories, nq)?;
        let map = self.variant.definition.map(&problem);
        let engine = self.variant.engine(&problem, &map);
        let sheet = Sheet::of_queries(out.o, problem.geometry());
        let guarded = AtomicU64::new(0);
        let floats = Scan::floats(self.sizes);
        workers.run(0..b * hkv, scratch, floats, |at, memory| {
            let (sequence, key_head) = (at / hkv, at % hkv);
            let keys = self.histories[sequence].keys;
            let mut scan = Scan::new(&engine, self.sizes, key_head, keys, memory);
            let state = self.sizes.state();
            scan.state
                .copy_from(&self.states[at * state..(at + 1) * state]);
            let group = h / hkv;
            for head in key_head * group..(key_head + 1) * group {
                if keys == 0 {
                    sheet.clear(sequence, head, 0..nq);
                    continue;
                }
                let head = problem.head(sequence, head);
                for first in (0..nq).step_by(CHUNK) {
                    let ends = &[keys; CHUNK][..CHUNK.min(nq - first)];
                    scan.answer_chunk(&head, first, ends, keys..keys, &sheet);
                }
            }
            guarded.fetch_add(scan.guarded, Ordering::Relaxed);
        });
        scratch.note_guarded(guarded.into_inner());
        Ok(())
    }

    fn append(&mut self, k: ArrayView4<'_, f32>, v: ArrayView4<'_, f32>) -> Result<()> {
        let Shape { b, hkv, d, dv, .. } = self.shape;
        let n = k.dim().2;
        expect_shape("K", "[B, Hkv, n, D]", k.shape(), &[b, hkv, n, d])?;
        expect_shape("V", "[B, Hkv, n, Dv]", v.shape(), &[b, hkv, n, dv])?;
        expect_room(&self.variant, &self.histories, n)?;
        let problem = problem([k, k, v], &self.learned, self.scale)?;
        let map = self.variant.definition.map(&problem);
        let engine = self.variant.engine(&problem, &map);
        let states = self.states.chunks_exact_mut(self.sizes.state().max(1));
        for (at, state) in states.enumerate() {
            let (sequence, key_head) = (at / hkv, at % hkv);
            let start = self.histories[sequence].keys;
            let state = State::over(state, self.sizes);
            let place = (key_head, start, start + n);
            let mut scan = Scan::over(&engine, state, place, &mut self.memory);
            scan.absorb(&problem.head(sequence, key_head), 0..n);
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
