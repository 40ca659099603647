//! Forward: aggregate, then read.

use super::Plan;
use super::aggregate::Aggregated;
use crate::low_rank::memory::{Layout, carve};
use crate::low_rank::pieces::{count, keys};
use crate::low_rank::prepared::Kept;
use crate::low_rank::read;
use attention::simd::Isa;
use attention::{Geometry, OutputMut, Problem, Scratch, Workers};

/// Sums of pieces, summaries, statistics, working memory.
pub(super) fn layout(plan: Plan, geometry: &Geometry, threads: usize) -> Layout<4> {
    let shape = geometry.shape();
    let slots = shape.b * shape.hkv;
    let parts = plan.keys.part() + plan.values.part();
    let work = read::floats(plan.sizes).max(Aggregated::work(plan));
    [
        (count(geometry, shape.hkv, keys), parts),
        (slots, plan.sizes.summary()),
        (slots, 4 * plan.sizes.mp()),
        (threads, work),
    ]
}

/// Keeps the summaries.
pub(super) fn prepare(
    isa: Isa,
    plan: Plan,
    problem: &Problem<'_>,
    workers: &Workers,
    whose: (&'static str, &'static str),
) -> Kept {
    let mut scratch = Scratch::new();
    let aggregated = aggregate_all(isa, plan, problem, workers, &mut scratch);
    let summary = |sequence, head| aggregated.summary(problem, sequence, head);
    let geometry = problem.geometry();
    Kept::of(whose, isa, geometry, plan.sizes, summary)
}

/// Makes all summaries.
fn aggregate_all(
    isa: Isa,
    plan: Plan,
    problem: &Problem<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) -> Aggregated {
    let layout = layout(plan, problem.geometry(), workers.threads());
    let [partial, summaries, stats, memory] = carve(scratch, layout);
    let aggregated = Aggregated {
        plan,
        points: Aggregated::points(plan, problem),
        partial,
        summaries,
        stats,
        memory,
    };
    aggregated.make(isa, problem, workers, false);
    aggregated
}

/// Writes O.
pub(super) fn forward(
    isa: Isa,
    plan: Plan,
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let aggregated = aggregate_all(isa, plan, problem, workers, scratch);
    let memory = aggregated.memory;
    let queries = |sequence, head| problem.head(sequence, head).q;
    let summary = |sequence, head| aggregated.summary(problem, sequence, head);
    let geometry = problem.geometry();
    read::forward(isa, geometry, out, workers, memory, queries, summary);
}
