//! Gradients by recomputation, in O(N) memory.
//!
//! With P_ij = W_ij/den_i, G = dO/den and δ = -(dO·O)/den, the gradient by a near weight W_ij is
//! G_i·v_j + δ_i, and far keys have dφ(q) = S·G + z·δ, dφ(k) = R·v + r, dv = Rᵀφ(k) with R and r the sums
//! of φ(q)Gᵀ and φ(q)δ over the queries that they are far from. A first walk goes over the queries with
//! S, a second one back over the blocks of keys with R; both compute the near weights again.
//!
//! * `queries.rs`, `keys.rs`: the walks; `pass.rs`: their memory; `near.rs`: near keys in both

mod keys;
mod near;
mod pass;
mod queries;

use super::forward::workers_of;
use super::rule::{Rule, Sizes};
use crate::feature::backward::{add_learned, apart};
use crate::feature::engine::group;
use crate::feature::kernels::LANES;
use crate::feature::plan::{Plan, Task};
use crate::feature::sheet::Sheet;
use ::attention::simd::Isa;
use ::attention::{Geometry, Gradients, Head, Problem, Scratch, Workers};
use ndarray::{ArrayView2, ArrayView4, Axis};
use pass::Pass;

/// What the walks read.
pub(super) struct Given<'p, 't> {
    pub(super) problem: &'p Problem<'t>,
    pub(super) o: ArrayView4<'p, f32>,
    pub(super) d_o: ArrayView4<'p, f32>,
}

impl<'p> Given<'p, '_> {
    /// The rows `[Nq, Dv]` of a head, of O or dO.
    fn of_queries(&self, tensor: &ArrayView4<'p, f32>, head: &Head<'_>) -> ArrayView2<'p, f32> {
        let geometry = self.problem.geometry();
        let lead = if geometry.is_jagged() {
            0
        } else {
            head.sequence
        };
        let queries = geometry.query_range(head.sequence);
        let tensor = tensor.index_axis_move(Axis(0), lead);
        let tensor = tensor.index_axis_move(Axis(0), head.head);
        tensor.slice_axis_move(Axis(0), queries.into())
    }
}

/// Writes all gradients. The caller has checked shapes, mask and tensors.
pub(super) fn backward(
    isa: Isa,
    rule: &Rule,
    given: &Given<'_, '_>,
    out: &mut Gradients,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let problem = given.problem;
    let geometry = problem.geometry();
    let (plan, sizes) = (Plan::whole(geometry), rule.sizes(geometry));
    let memory = Memory::of(&plan, sizes, geometry, workers.threads());
    let all = scratch.part(memory.total());
    let (learned, buffers) = all.split_at_mut(memory.learned);
    let dq = Sheet::of_queries(out.dq.view_mut(), geometry);
    let dk = Sheet::of_keys(out.dk.view_mut(), geometry);
    let dv = Sheet::of_keys(out.dv.view_mut(), geometry);
    let each = sizes.state.extent.learned;
    let tasks = apart(plan.pairs(), learned, |_: &Task<'_>| each);
    let parts = buffers.chunks_exact_mut(memory.worker.max(1));
    workers.run_on(tasks, parts, |(task, learned), buffer| {
        learned.fill(0.0);
        let rows = memory.rows;
        let of = (problem, task.key_head);
        let mut pass = Pass::new((isa, rule, sizes), of, rows, learned, buffer);
        let heads = group(problem, task);
        queries::walk(&mut pass, given, &task.history, heads.clone(), &dq);
        keys::walk(&mut pass, given, &task.history, heads, (&dk, &dv));
    });
    for tensor in out.tensors.values_mut() {
        tensor.fill(0.0);
    }
    let tensors = rule.tensors(geometry);
    let names: Vec<_> = tensors.iter().map(|tensor| tensor.name).collect();
    for (task, own) in apart(plan.pairs(), learned, |_: &Task<'_>| each) {
        add_learned(out, &names, task.key_head, geometry, own);
    }
}

/// Bytes of working memory on `threads` workers.
pub(super) fn scratch_bytes(rule: &Rule, geometry: &Geometry, threads: usize) -> u64 {
    let (plan, sizes) = (Plan::whole(geometry), rule.sizes(geometry));
    Scratch::bytes_for(1, Memory::of(&plan, sizes, geometry, threads).total())
}

/// Floats of a call: gradients of learned tensors by task, then one buffer a worker.
struct Memory {
    learned: usize,
    worker: usize,
    workers: usize,
    /// Queries of the longest history, over the heads of a group.
    rows: usize,
}

impl Memory {
    fn of(plan: &Plan<'_>, sizes: Sizes, geometry: &Geometry, threads: usize) -> Self {
        let shape = geometry.shape();
        let longest = (0..shape.b).map(|s| geometry.query_range(s).len());
        let rows = longest.max().unwrap_or(0) * (shape.h / shape.hkv.max(1));
        let learned = plan.pairs().count() * sizes.state.extent.learned;
        Self {
            learned: learned.next_multiple_of(LANES),
            worker: Pass::floats(sizes, rows).next_multiple_of(LANES),
            workers: workers_of(plan, threads),
            rows,
        }
    }

    fn total(&self) -> usize {
        self.learned + self.worker * self.workers
    }
}
