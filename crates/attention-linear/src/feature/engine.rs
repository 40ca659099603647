//! A forward call: states ahead where histories are cut, then all tasks.

use super::map::{Extent, FeatureMap};
use super::plan::{Plan, Task};
use super::scan::Scan;
use super::sheet::Sheet;
use super::state::{Sizes, State};
use attention::simd::Isa;
use attention::{Cost, Geometry, Head, OutputMut, Problem, Scratch, Workers};
use std::sync::atomic::{AtomicU64, Ordering};

/// A feature map and a factor of the output.
pub(crate) struct Engine<'m> {
    pub(crate) isa: Isa,
    pub(crate) map: &'m dyn FeatureMap,
    pub(crate) extent: Extent,
    /// Multiplies O.
    pub(crate) factor: f32,
}

impl Engine<'_> {
    /// Writes O. The caller has checked output and mask.
    pub(crate) fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) {
        let geometry = problem.geometry();
        let plan = Plan::of(geometry).for_width(self.extent.width);
        let sizes = sizes(self.extent, geometry);
        let memory = Memory::of(&plan, sizes, workers.threads());
        let (states, buffers) = scratch.part(memory.total()).split_at_mut(memory.states);
        self.make_states(
            problem,
            &plan,
            sizes,
            states,
            (buffers, memory.worker),
            workers,
        );

        let states = &*states;
        let sheet = Sheet::of_queries(out.o, geometry);
        let guarded = AtomicU64::new(0);
        let parts = buffers.chunks_exact_mut(memory.worker.max(1));
        workers.run_on(plan.tasks(), parts, |task, buffer| {
            let history = task.history;
            let mut scan = Scan::new(self, sizes, task.key_head, history.length(), buffer);
            let heads = group(problem, task);
            let known = history.known(task.segment);
            match history.slot(task.segment) {
                Some(slot) => {
                    let at = (task.slots + slot) * sizes.state();
                    scan.state.copy_from(&states[at..at + sizes.state()]);
                }
                None => {
                    if let Some(head) = heads.clone().next() {
                        scan.absorb(&head, 0..known);
                    }
                }
            }
            scan.answer(heads, &history, task.segment, &sheet);
            guarded.fetch_add(scan.guarded, Ordering::Relaxed);
        });
        scratch.note_guarded(guarded.into_inner());
    }

    /// The states of the leading keys at every cut: parts side by side, then added up in order.
    pub(super) fn make_states(
        &self,
        problem: &Problem<'_>,
        plan: &Plan<'_>,
        sizes: Sizes,
        states: &mut [f32],
        (buffers, each): (&mut [f32], usize),
        workers: &Workers,
    ) {
        if states.is_empty() {
            return;
        }
        let pieces = plan.pieces().zip(states.chunks_exact_mut(sizes.state()));
        let parts = buffers.chunks_exact_mut(each.max(1));
        workers.run_on(pieces, parts, |(task, slot), buffer| {
            let keys = task.history.length();
            let mut scan = Scan::new(self, sizes, task.key_head, keys, buffer);
            if let Some(head) = group(problem, task).next() {
                scan.absorb(&head, task.history.piece(task.segment));
            }
            scan.state.copy_to(slot);
        });
        for pair in plan.pairs() {
            let first = pair.slots * sizes.state();
            let own = &mut states[first..first + pair.history.pieces() * sizes.state()];
            let mut slots = own.chunks_exact_mut(sizes.state());
            let Some(mut before) = slots.next().map(|slot| State::over(slot, sizes)) else {
                continue;
            };
            for slot in slots {
                let mut state = State::over(slot, sizes);
                state.merge(&before, self.extent.logarithmic);
                before = state;
            }
        }
    }

    /// Bytes of working memory on `threads` workers.
    pub(crate) fn scratch_bytes(extent: Extent, geometry: &Geometry, threads: usize) -> u64 {
        let plan = Plan::of(geometry).for_width(extent.width);
        let memory = Memory::of(&plan, sizes(extent, geometry), threads);
        Scratch::bytes_for(1, memory.total())
    }

    /// What a forward call costs: features of every token, 2·m·(Dv + 1) operations for a key that
    /// enters the state and as many for a query that reads it, and 2·(m + Dv) for each pair inside
    /// a chunk of a causal mask.
    pub(crate) fn cost(extent: Extent, geometry: &Geometry, threads: usize) -> Cost {
        let shape = geometry.shape();
        let plan = Plan::of(geometry).for_width(extent.width);
        let (m, dv) = (extent.width as u64, shape.dv as u64);
        let token = extent.flops + 2 * m * (dv + 1);
        let mut flops = 0;
        for s in 0..shape.b {
            let history = plan.history(s);
            let queries = history.mask.queries();
            let keys = history.keys() as u64;
            let pieces = history.pieces();
            let ahead = pieces.checked_sub(1).map_or(0, |p| history.piece(p).end) as u64;
            let inside: u64 = (0..queries)
                .step_by(history.step())
                .map(|first| {
                    let end = queries.min(first + history.step());
                    let width = history.end(end - 1) - history.end(first);
                    (width * (end - first)) as u64
                })
                .sum();
            // A key of a full mask enters a state once; of a cut causal one, ahead and in the scan.
            let causal = queries > 0 && history.end(0) as u64 != keys;
            let entries = if causal { keys + ahead } else { keys };
            flops += shape.hkv as u64 * entries * token;
            flops += shape.h as u64 * (queries as u64 * token + inside * 2 * (m + dv));
        }
        Cost {
            flops,
            bytes: shape.tensor_bytes(),
            scratch_bytes: Self::scratch_bytes(extent, geometry, threads),
        }
    }
}

/// The heads that share a task's key head.
pub(super) fn group<'p, 't>(
    problem: &'p Problem<'t>,
    task: Task<'_>,
) -> impl Iterator<Item = Head<'p>> + Clone + use<'p, 't> {
    let shape = problem.shape();
    let group = shape.h / shape.hkv.max(1);
    let first = task.key_head * group;
    let sequence = task.sequence;
    (first..first + group).map(move |head| problem.head(sequence, head))
}

pub(super) fn sizes(extent: Extent, geometry: &Geometry) -> Sizes {
    Sizes {
        d: geometry.shape().d,
        dv: geometry.shape().dv,
        extent,
    }
}

/// Floats of a call: partial states, then one buffer a worker.
struct Memory {
    states: usize,
    worker: usize,
    workers: usize,
}

impl Memory {
    fn of(plan: &Plan<'_>, sizes: Sizes, threads: usize) -> Self {
        Self {
            states: plan.slots() * sizes.state(),
            worker: Scan::floats(sizes),
            workers: threads.min(plan.width()).max(1),
        }
    }

    fn total(&self) -> usize {
        self.states + self.worker * self.workers
    }
}
