//! Gradients by recomputation: states again, in O(N) memory.
//!
//! With G = dO·factor/den, δ = -(dO·O)/den, S and z the sums over the keys that a query sees, R and r
//! those of φ(q)Gᵀ and φ(q)δ over the queries that see a key (Katharopoulos et al. 2020, eq. 13 to 15,
//! with the normaliser as a value column of ones): dφ(q) = S·G + z·δ, dφ(k) = R·v + r, dv = Rᵀφ(k).
//! A first walk goes over the queries with S, a second one back over the keys with R; inside chunks
//! both use the triangles φ(Q)φ(K)ᵀ and GVᵀ + δ. Where all queries see the same keys, the first walk
//! makes R as well. Where histories are cut, partial sums are made side
//! by side and added up in order, forward for S and back for R.
//!
//! * `queries.rs`, `keys.rs`: the walks; `pass.rs`: their memory; `store.rs`: what the first leaves to
//!   the second

mod keys;
mod pass;
mod queries;
mod store;

use super::engine::{Engine, group, sizes};
use super::kernels::LANES;
use super::map::{Extent, Normaliser};
use super::plan::{Plan, Task};
use super::scan::Scan;
use super::sheet::Sheet;
use super::state::{Sizes, State};
use attention::{Geometry, Gradients, Head, Problem, Scratch, Workers};
use ndarray::{ArrayView2, ArrayView4, Axis};
use pass::Pass;
use store::Store;

/// What the walks read.
struct Sources<'p, 't> {
    problem: &'p Problem<'t>,
    o: ArrayView4<'p, f32>,
    d_o: ArrayView4<'p, f32>,
}

impl<'p, 't> Sources<'p, 't> {
    /// The heads that share a task's key head.
    fn heads(&self, task: &Task<'_>) -> impl Iterator<Item = Head<'p>> + Clone + use<'p, 't> {
        group(self.problem, *task)
    }

    /// O `[Nq, Dv]` of a head.
    fn o(&self, head: &Head<'_>) -> ArrayView2<'p, f32> {
        self.of_queries(&self.o, head)
    }

    /// dO `[Nq, Dv]` of a head.
    fn d_o(&self, head: &Head<'_>) -> ArrayView2<'p, f32> {
        self.of_queries(&self.d_o, head)
    }

    fn of_queries(&self, tensor: &ArrayView4<'p, f32>, head: &Head<'_>) -> ArrayView2<'p, f32> {
        let geometry = self.problem.geometry();
        let batch = if geometry.is_jagged() {
            0
        } else {
            head.sequence
        };
        let queries = geometry.query_range(head.sequence);
        let tensor = tensor.index_axis_move(Axis(0), batch);
        let tensor = tensor.index_axis_move(Axis(0), head.head);
        tensor.slice_axis_move(Axis(0), queries.into())
    }
}

impl Engine<'_> {
    /// Writes all gradients, those of learned tensors by `names` in the order in which the map keeps
    /// them. The caller has checked shapes and mask.
    #[allow(clippy::too_many_arguments)] // those of `Attention::backward`
    pub(crate) fn backward(
        &self,
        problem: &Problem<'_>,
        saved: ArrayView4<'_, f32>,
        d_o: ArrayView4<'_, f32>,
        out: &mut Gradients,
        names: &[&'static str],
        workers: &Workers,
        scratch: &mut Scratch,
    ) {
        let geometry = problem.geometry();
        let sizes = sizes(self.extent, geometry);
        let plan = plan_backward(self.extent, geometry);
        let memory = Memory::of(&plan, sizes, geometry, workers.threads());
        let (states, rest) = scratch.part(memory.total()).split_at_mut(memory.states);
        let (sums, rest) = rest.split_at_mut(memory.sums);
        let (stores, rest) = rest.split_at_mut(memory.stores);
        let (learned, buffers) = rest.split_at_mut(memory.learned);
        let each = memory.worker.max(1);
        self.make_states(problem, &plan, sizes, states, (buffers, each), workers);

        let states = &*states;
        let sources = Sources {
            problem,
            o: saved.reborrow(),
            d_o: d_o.reborrow(),
        };
        let group = memory.group;
        let store = |task: &Task<'_>| Store::floats(sizes, task, group);
        let sum = if plan.keeps_sums() { sizes.state() } else { 0 };
        let dq = Sheet::of_queries(out.dq.view_mut(), geometry);
        let tasks = apart(apart(plan.tasks(), stores, store), sums, |_| sum);
        let parts = buffers.chunks_exact_mut(each);
        workers.run_on(tasks, parts, |((task, own), sum), buffer| {
            let mut store = Store::over(sizes, &task, group, own);
            let place = (task.key_head, task.history.length());
            let mut pass = Pass::new(self, sizes, place, buffer);
            match task.history.slot(task.segment) {
                Some(slot) => {
                    let at = (task.slots + slot) * sizes.state();
                    pass.state.copy_from(&states[at..at + sizes.state()]);
                }
                None => {
                    if let Some(head) = sources.heads(&task).next() {
                        let known = task.history.known(task.segment);
                        queries::absorb(&mut pass, &head, 0..known);
                    }
                }
            }
            queries::walk(&mut pass, &sources, &task, &mut store, &dq);
            if task.history.all_see_the_same() {
                pass.behind.copy_to(sum);
            } else if plan.is_cut() {
                pass.state.clear();
                keys::walk(&mut pass, &sources, &task, &mut store, None);
                pass.state.copy_to(sum);
            }
        });
        if plan.is_cut() {
            self.merge(&plan, sizes, sums);
        }

        let sums = &*sums;
        let dk = Sheet::of_keys(out.dk.view_mut(), geometry);
        let dv = Sheet::of_keys(out.dv.view_mut(), geometry);
        let sheets = (&dk, &dv);
        let behind = |task: &Task<'_>, segment: usize| {
            let at = (task.before + segment) * sizes.state();
            &sums[at..at + sizes.state()]
        };
        let parts = buffers.chunks_exact_mut(each);
        workers.run_on(
            apart(plan.tasks(), stores, store),
            parts,
            |(task, own), buffer| {
                let history = task.history;
                let mut store = Store::over(sizes, &task, group, own);
                let mut pass = Pass::new(self, sizes, (task.key_head, history.length()), buffer);
                if task.segment + 1 == history.segments() {
                    clear(sheets, &task, history.keys()..history.mask.keys());
                }
                if history.all_see_the_same() {
                    pass.state.copy_from(behind(&task, task.segment));
                } else {
                    if task.segment + 1 < history.segments() {
                        pass.state.copy_from(behind(&task, task.segment + 1));
                    }
                    keys::walk(&mut pass, &sources, &task, &mut store, Some(sheets));
                }
                if task.segment == 0
                    && history.base_pieces() == 0
                    && let Some(head) = sources.heads(&task).next()
                {
                    keys::before(&mut pass, &head, 0..history.base(), &mut store, sheets);
                }
            },
        );
        let pieces = apart(plan.base_pieces(), learned, |_| self.extent.learned);
        let parts = buffers.chunks_exact_mut(each);
        workers.run_on(pieces, parts, |(task, own), buffer| {
            let history = task.history;
            own.fill(0.0);
            let mut store = Store::of_learned(own);
            let mut pass = Pass::new(self, sizes, (task.key_head, history.length()), buffer);
            pass.state.copy_from(behind(&task, 0));
            if let Some(head) = sources.heads(&task).next() {
                let keys = history.piece(task.segment);
                keys::before(&mut pass, &head, keys, &mut store, sheets);
            }
        });
        for pair in plan.pairs().filter(|pair| pair.history.segments() == 0) {
            clear(sheets, &pair, 0..pair.history.mask.keys());
        }
        for tensor in out.tensors.values_mut() {
            tensor.fill(0.0);
        }
        for (task, own) in apart(plan.tasks(), stores, store) {
            let store = Store::over(sizes, &task, group, own);
            add_learned(out, names, task.key_head, geometry, store.learned);
        }
        for (task, own) in apart(plan.base_pieces(), learned, |_| self.extent.learned) {
            add_learned(out, names, task.key_head, geometry, own);
        }
    }

    /// The sums over each segment's queries and all behind it.
    fn merge(&self, plan: &Plan<'_>, sizes: Sizes, sums: &mut [f32]) {
        let state = sizes.state();
        for pair in plan.pairs() {
            let own = &mut sums[pair.before * state..][..pair.history.segments() * state];
            for segment in (1..pair.history.segments()).rev() {
                let (before, behind) = own.split_at_mut(segment * state);
                let behind = State::over(&mut behind[..state], sizes);
                let mut sum = State::over(&mut before[(segment - 1) * state..], sizes);
                sum.merge_later(&behind, self.extent.logarithmic);
            }
        }
    }

    /// Bytes of working memory on `threads` workers.
    pub(crate) fn backward_scratch_bytes(
        extent: Extent,
        geometry: &Geometry,
        threads: usize,
    ) -> u64 {
        let (plan, sizes) = (plan_backward(extent, geometry), sizes(extent, geometry));
        Scratch::bytes_for(1, Memory::of(&plan, sizes, geometry, threads).total())
    }
}

/// Norms of columns are those of all keys, for which histories stay whole.
fn plan_backward(extent: Extent, geometry: &Geometry) -> Plan<'_> {
    let plan = if extent.normaliser == Normaliser::KeyColumns {
        Plan::whole(geometry)
    } else {
        Plan::of(geometry)
    };
    plan.for_width(extent.width)
}

/// Tasks, each with so many floats of its own.
pub(super) fn apart<'f, T: Send + 'f>(
    tasks: impl Iterator<Item = T> + Send + 'f,
    floats: &'f mut [f32],
    count: impl Fn(&T) -> usize + Send + 'f,
) -> impl Iterator<Item = (T, &'f mut [f32])> + Send + 'f {
    tasks.scan(floats, move |rest, task| {
        let (own, after) = std::mem::take(rest).split_at_mut(count(&task));
        *rest = after;
        Some((task, own))
    })
}

fn clear((dk, dv): keys::Sheets<'_, '_>, task: &Task<'_>, keys: std::ops::Range<usize>) {
    for sheet in [dk, dv] {
        sheet.clear(task.sequence, task.key_head, keys.clone());
    }
}

/// Adds a task's gradients of its key head's tensors, which lie one behind the other.
pub(super) fn add_learned(
    out: &mut Gradients,
    names: &[&'static str],
    key_head: usize,
    geometry: &Geometry,
    learned: &[f32],
) {
    let mut rest = learned;
    for name in names {
        let Some(tensor) = out.tensors.get_mut(name).and_then(|t| t.as_slice_mut()) else {
            continue;
        };
        let each = tensor.len() / geometry.shape().hkv.max(1);
        let (own, after) = rest.split_at(each.min(rest.len()));
        rest = after;
        let to = &mut tensor[key_head * each..(key_head + 1) * each];
        to.iter_mut().zip(own).for_each(|(x, y)| *x += y);
    }
}

/// Floats of a call: partial states of keys, partial sums of queries, what tasks keep, gradients of
/// learned tensors beside theirs, then one buffer a worker.
struct Memory {
    states: usize,
    sums: usize,
    stores: usize,
    learned: usize,
    worker: usize,
    workers: usize,
    group: usize,
}

impl Memory {
    fn of(plan: &Plan<'_>, sizes: Sizes, geometry: &Geometry, threads: usize) -> Self {
        let group = geometry.shape().h / geometry.shape().hkv.max(1);
        let tasks = plan.tasks().count();
        let stores = plan.tasks();
        let stores = stores.map(|task| Store::floats(sizes, &task, group));
        Self {
            states: plan.slots() * sizes.state(),
            sums: if plan.keeps_sums() {
                tasks * sizes.state()
            } else {
                0
            },
            stores: stores.sum::<usize>().next_multiple_of(LANES),
            learned: (plan.base_pieces().count() * sizes.extent.learned).next_multiple_of(LANES),
            worker: Pass::floats(sizes)
                .max(Scan::floats(sizes))
                .next_multiple_of(LANES),
            workers: threads.min(plan.width()).max(1),
            group,
        }
    }

    fn total(&self) -> usize {
        let shared = self.states + self.sums + self.stores + self.learned;
        shared + self.worker * self.workers
    }
}
