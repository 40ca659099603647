//! A forward call: each history and key head is a task.

use super::blocks;
use super::rule::Rule;
use super::walk::{Keys, Walk};
use crate::feature::engine::group;
use crate::feature::map::CHUNK;
use crate::feature::plan::Plan;
use crate::feature::sheet::Sheet;
use ::attention::simd::Isa;
use ::attention::{Geometry, OutputMut, Problem, Scratch, Workers};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes O. The caller has checked output, mask and tensors.
pub(super) fn forward(
    isa: Isa,
    rule: &Rule,
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let geometry = problem.geometry();
    let (plan, sizes) = (Plan::whole(geometry), rule.sizes(geometry));
    let sheet = Sheet::of_queries(out.o, geometry);
    let guarded = AtomicU64::new(0);
    let floats = Walk::floats(sizes);
    let parts = scratch.parts(workers_of(&plan, workers.threads()), floats);
    workers.run_on(plan.pairs(), parts, |task, buffer| {
        let history = task.history;
        let mut walk = Walk::new((isa, rule, sizes), (problem, task.key_head), buffer);
        let heads = group(problem, task);
        let Some(lead) = heads.clone().next() else {
            return;
        };
        let keys = Keys {
            k: lead.k,
            v: lead.v,
            start: 0,
        };
        for head in heads.clone() {
            let blind = 0..blocks::first(&history, 0);
            sheet.clear(head.sequence, head.head, blind);
        }
        for block in 0..blocks::count(&history) {
            for (n, run) in blocks::runs(&history, block).enumerate() {
                if n == 0 {
                    walk.absorb(keys, rule.first_near(block) * CHUNK);
                }
                for head in heads.clone() {
                    walk.answer(&head, keys, &run, &sheet);
                }
            }
        }
        guarded.fetch_add(walk.guarded, Ordering::Relaxed);
    });
    scratch.note_guarded(guarded.into_inner());
}

/// Workers that have something to do.
pub(super) fn workers_of(plan: &Plan<'_>, threads: usize) -> usize {
    threads.min(plan.pairs().count()).max(1)
}

/// Bytes of working memory on `threads` workers.
pub(super) fn scratch_bytes(rule: &Rule, geometry: &Geometry, threads: usize) -> u64 {
    let workers = workers_of(&Plan::whole(geometry), threads);
    Scratch::bytes_for(workers, Walk::floats(rule.sizes(geometry)))
}

/// Operations of a forward call: features of every token that is far from a query or sees far keys,
/// 2·m·(Dv + 1) for a key that enters the state and as many for a query that reads it, and 2·(r + Dv),
/// or 2·(D + Dv) in a window, for each near pair.
pub(super) fn flops(rule: &Rule, geometry: &Geometry) -> u64 {
    let (plan, sizes) = (Plan::whole(geometry), rule.sizes(geometry));
    let (shape, extent) = (geometry.shape(), sizes.state.extent);
    let token = extent.flops + 2 * extent.width as u64 * (shape.dv as u64 + 1);
    let steps = if rule.window > 0 { shape.d } else { sizes.rank };
    let pair = 2 * (steps + shape.dv) as u64;
    let group = (shape.h / shape.hkv.max(1)) as u64;
    let mut flops = 0;
    for task in plan.pairs() {
        let history = task.history;
        let mut absorbed = 0;
        for block in 0..blocks::count(&history) {
            let far = rule.first_near(block) * CHUNK;
            for run in blocks::runs(&history, block) {
                absorbed = far;
                let seen = run.seen(far, usize::MAX);
                let pairs = seen[..run.count()].iter().sum::<usize>() as u64;
                let read = if far > 0 {
                    run.count() as u64 * token
                } else {
                    0
                };
                flops += group * (read + pairs * pair);
            }
        }
        flops += absorbed as u64 * token;
    }
    flops
}
