//! The engine that all feature maps share.
//!
//! Full masks: one state of all keys answers every query. Causal masks: chunks of C = 64 are
//! scanned, state before the chunk plus what lies inside it. Where a problem has too few heads to
//! feed several workers, histories are cut (see [`plan`]): partial states are made side by side,
//! added up in order, and each run of queries begins with the one that it needs.

mod map;
mod plan;
mod scan;
mod state;

pub(crate) use map::{CHUNK, FeatureMap, LEAST_NORM, LEAST_SUM, Normaliser};

use attention::{Cost, Geometry, Head, OutputMut, Problem, RowBlock, RowBlocks, Scratch, Workers};
use plan::Plan;
use scan::{Scan, Sizes};
use state::State;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// A feature map, a normaliser and a factor of the output.
pub(crate) struct Engine<'m, M> {
    pub(crate) map: &'m M,
    pub(crate) normaliser: Normaliser,
    /// Multiplies O.
    pub(crate) factor: f32,
}

impl<M: FeatureMap> Engine<'_, M> {
    /// Writes O. The caller has checked output and mask.
    pub(crate) fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) {
        let geometry = problem.geometry();
        let plan = Plan::of(geometry);
        let sizes = sizes(self.map, geometry);
        let memory = Memory::of(&plan, sizes, geometry, workers.threads());
        let floats = scratch.part(memory.total());
        let (states, buffers) = floats.split_at_mut(memory.states);
        let buffers = Buffers::new(buffers, memory.worker);
        self.make_states(problem, &plan, sizes, states, &buffers, workers);

        let groups = group(out.row_blocks(geometry, plan.rows), geometry);
        let states = &*states;
        workers.run(groups, &mut Scratch::new(), 0, |task, _| {
            let ((sequence, key_head, _), mut blocks): (_, Vec<RowBlock<'_>>) = task;
            let heads: Vec<Head<'_>> = blocks
                .iter()
                .map(|block| problem.head(sequence, block.head))
                .collect();
            buffers.lend(|buffer| {
                let mut scan = Scan::new(self, sizes, buffer);
                let mut known = 0;
                if let (Some(head), Some(block)) = (heads.first(), blocks.first()) {
                    let wanted = head.mask.span(block.rows.start).end;
                    let cuts = &plan.cuts[sequence];
                    if let Ok(cut) = cuts.binary_search(&wanted) {
                        let index = slot(&plan, geometry, sequence, key_head) + cut;
                        scan.resume(&states[index * sizes.state()..(index + 1) * sizes.state()]);
                        known = wanted;
                    }
                }
                scan.answer(&heads, &mut blocks, known);
            });
        });
    }

    /// The states of the leading keys at every cut: parts side by side, then added up in order.
    fn make_states(
        &self,
        problem: &Problem<'_>,
        plan: &Plan,
        sizes: Sizes,
        states: &mut [f32],
        buffers: &Buffers<'_>,
        workers: &Workers,
    ) {
        if states.is_empty() {
            return;
        }
        let geometry = problem.geometry();
        let group = geometry.shape().h / geometry.shape().hkv.max(1);
        let mut tasks: Vec<(Head<'_>, Range<usize>, &mut [f32])> = Vec::new();
        let mut free = states.chunks_exact_mut(sizes.state());
        for (sequence, cuts) in plan.cuts.iter().enumerate() {
            for key_head in 0..geometry.shape().hkv {
                let head = problem.head(sequence, key_head * group);
                let mut from = 0;
                for (&to, slot) in cuts.iter().zip(&mut free) {
                    tasks.push((head, from..to, slot));
                    from = to;
                }
            }
        }
        workers.run(tasks, &mut Scratch::new(), 0, |(head, keys, slot), _| {
            buffers.lend(|buffer| {
                let mut scan = Scan::new(self, sizes, buffer);
                scan.absorb(&head, keys);
                scan.save(slot);
            });
        });

        let mut rest = states;
        let mut histories = Vec::new();
        for cuts in &plan.cuts {
            for _ in 0..geometry.shape().hkv {
                let (own, after) =
                    std::mem::take(&mut rest).split_at_mut(cuts.len() * sizes.state());
                histories.push(own);
                rest = after;
            }
        }
        let stride = sizes.value_stride();
        workers.run(histories, &mut Scratch::new(), 0, |own, _| {
            let mut slots = own.chunks_exact_mut(sizes.state());
            let Some(mut before) = slots.next().map(|s| State::over(s, sizes.width, stride)) else {
                return;
            };
            for slot in slots {
                let mut state = State::over(slot, sizes.width, stride);
                state.merge(&before, stride, M::LOGARITHMIC);
                before = state;
            }
        });
    }

    /// Bytes of working memory on `threads` workers.
    pub(crate) fn scratch_bytes(map: &M, geometry: &Geometry, threads: usize) -> u64 {
        let memory = Memory::of(&Plan::of(geometry), sizes(map, geometry), geometry, threads);
        Scratch::bytes_for(1, memory.total())
    }

    /// What a forward call costs: features of every token, 2·m·(Dv + 1) operations for a key that
    /// enters the state and as many for a query that reads it, and 2·(m + Dv) for each pair inside
    /// a chunk of a causal mask.
    pub(crate) fn cost(map: &M, geometry: &Geometry, threads: usize) -> Cost {
        let shape = geometry.shape();
        let plan = Plan::of(geometry);
        let (m, dv) = (map.width() as u64, shape.dv as u64);
        let token = map.flops() + 2 * m * (dv + 1);
        let mut flops = 0;
        for s in 0..shape.b {
            let mask = geometry.sequence(s);
            let queries = mask.queries();
            let (Some(last), heads) = (queries.checked_sub(1), shape.h as u64) else {
                continue;
            };
            let keys = mask.span(last).end as u64;
            let ahead = plan.cuts[s].last().map_or(0, |&cut| cut as u64);
            let inside: u64 = (0..queries)
                .step_by(CHUNK)
                .map(|first| {
                    let end = queries.min(first + CHUNK);
                    let width = mask.span(end - 1).end - mask.span(first).end;
                    (width * (end - first)) as u64
                })
                .sum();
            // A key of a full mask enters a state once; of a cut causal one, ahead and in the scan.
            let causal = mask.span(0).end as u64 != keys;
            let entries = if causal { keys + ahead } else { keys };
            flops += shape.hkv as u64 * entries * token;
            flops += heads * (queries as u64 * token + inside * (2 * m + dv));
        }
        Cost {
            flops,
            bytes: shape.tensor_bytes(),
            scratch_bytes: Self::scratch_bytes(map, geometry, threads),
        }
    }
}

fn sizes<M: FeatureMap>(map: &M, geometry: &Geometry) -> Sizes {
    Sizes {
        d: geometry.shape().d,
        dv: geometry.shape().dv,
        width: map.width(),
    }
}

/// The first partial state of a history and key head.
fn slot(plan: &Plan, geometry: &Geometry, sequence: usize, key_head: usize) -> usize {
    let before: usize = plan.cuts[..sequence].iter().map(Vec::len).sum();
    before * geometry.shape().hkv + key_head * plan.cuts[sequence].len()
}

/// Blocks by (history, key head, first row): the query heads of a group are answered together.
type Groups<'a> = BTreeMap<(usize, usize, usize), Vec<RowBlock<'a>>>;

fn group<'a>(blocks: RowBlocks<'a, '_>, geometry: &Geometry) -> Groups<'a> {
    let mut groups = Groups::new();
    for block in blocks {
        let key = (
            block.sequence,
            geometry.key_head(block.head),
            block.rows.start,
        );
        groups.entry(key).or_default().push(block);
    }
    groups
}

/// Floats of a call: partial states, then one buffer a worker.
struct Memory {
    states: usize,
    worker: usize,
    workers: usize,
}

impl Memory {
    fn of(plan: &Plan, sizes: Sizes, geometry: &Geometry, threads: usize) -> Self {
        Self {
            states: plan.states() * geometry.shape().hkv * sizes.state(),
            worker: sizes.worker(),
            workers: threads.min(plan.tasks).max(1),
        }
    }

    fn total(&self) -> usize {
        self.states + self.worker * self.workers
    }
}

/// Buffers that running tasks borrow; there is one for each worker.
struct Buffers<'a>(Mutex<Vec<&'a mut [f32]>>);

impl<'a> Buffers<'a> {
    fn new(floats: &'a mut [f32], each: usize) -> Self {
        Self(Mutex::new(floats.chunks_exact_mut(each.max(1)).collect()))
    }

    fn lend(&self, work: impl FnOnce(&mut [f32])) {
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = free().pop();
        // As many tasks run at a time as there are buffers, so one is free.
        if let Some(buffer) = taken {
            work(buffer);
            free().push(buffer);
        }
    }
}
