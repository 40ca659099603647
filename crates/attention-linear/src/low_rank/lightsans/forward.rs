//! Forward: aggregate, go over the queries where the softmax does, then read.

use super::Plan;
use super::aggregate::Aggregated;
use crate::low_rank::across;
use crate::low_rank::memory::{Layout, carve};
use crate::low_rank::pieces::{count, keys};
use crate::low_rank::prepared::Kept;
use crate::low_rank::read;
use attention::simd::Isa;
use attention::{Geometry, OutputMut, Problem, Scratch, Workers};

/// Sums of pieces, summaries, statistics, those of queries by piece and by head, working memory.
pub(super) fn layout(plan: Plan, geometry: &Geometry, threads: usize) -> Layout<6> {
    let shape = geometry.shape();
    let slots = shape.b * shape.hkv;
    let parts = plan.keys.part() + plan.values.part();
    let work = read::floats(plan.sizes)
        .max(Aggregated::work(plan))
        .max(plan.work_across());
    let [partial, found] = plan.across(geometry, false);
    [
        (count(geometry, shape.hkv, keys), parts),
        (slots, plan.sizes.summary()),
        (slots, 4 * plan.sizes.mp()),
        partial,
        found,
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
    let (aggregated, _) = aggregate_all(isa, plan, problem, workers, &mut scratch);
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
) -> (Aggregated, across::Shelves) {
    let layout = layout(plan, problem.geometry(), workers.threads());
    let [partial, summaries, stats, of_queries, found, memory] = carve(scratch, layout);
    let aggregated = Aggregated {
        plan,
        points: Aggregated::points(plan, problem),
        partial,
        summaries,
        stats,
        memory,
    };
    aggregated.make(isa, problem, workers, false);
    let across = across::Shelves {
        partial: of_queries,
        found,
    };
    (aggregated, across)
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
    let (aggregated, across) = aggregate_all(isa, plan, problem, workers, scratch);
    let memory = aggregated.memory;
    let queries = |sequence, head| problem.head(sequence, head).q;
    let summary = |sequence, head| aggregated.summary(problem, sequence, head);
    if plan.among_queries {
        across.fill(isa, problem, None, workers, memory, summary);
    }
    let summary =
        |sequence, head| plan.known(across, problem, summary(sequence, head), (sequence, head));
    let geometry = problem.geometry();
    read::forward(isa, geometry, out, workers, memory, queries, summary);
}
