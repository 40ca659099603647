//! Forward: project, then read.

use super::project::{self, Projected, Projection};
use super::{KEYS, VALUES};
use crate::low_rank::memory::{Layout, carve};
use crate::low_rank::pieces::{count, keys};
use crate::low_rank::prepared::Kept;
use crate::low_rank::read;
use crate::low_rank::summary::Sizes;
use attention::simd::Isa;
use attention::{Geometry, OutputMut, Problem, Scratch, Workers};

/// Sums of pieces, summaries, working memory.
pub(super) fn layout(sizes: Sizes, geometry: &Geometry, threads: usize) -> Layout<3> {
    let shape = geometry.shape();
    [
        (count(geometry, shape.hkv, keys), sizes.rows()),
        (shape.b * shape.hkv, sizes.summary()),
        (threads, read::floats(sizes).max(project::floats(sizes))),
    ]
}

/// Keeps the summaries.
pub(super) fn prepare(
    isa: Isa,
    sizes: Sizes,
    problem: &Problem<'_>,
    workers: &Workers,
    whose: (&'static str, &'static str),
) -> Kept {
    let mut scratch = Scratch::new();
    let projected = project_all(isa, sizes, problem, workers, &mut scratch);
    let summary = |sequence, head| projected.summary(problem, sequence, head);
    Kept::of(whose, isa, problem.geometry(), sizes, summary)
}

/// Makes all summaries.
fn project_all(
    isa: Isa,
    sizes: Sizes,
    problem: &Problem<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) -> Projected {
    let layout = layout(sizes, problem.geometry(), workers.threads());
    let [partial, summaries, memory] = carve(scratch, layout);
    let projected = Projected {
        e: Projection::of(problem, KEYS),
        f: Projection::of(problem, VALUES),
        sizes,
        partial,
        summaries,
        memory,
    };
    projected.make(isa, problem, workers, false);
    projected
}

/// Writes O.
pub(super) fn forward(
    isa: Isa,
    sizes: Sizes,
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let projected = project_all(isa, sizes, problem, workers, scratch);
    let memory = projected.memory;
    let queries = |sequence, head| problem.head(sequence, head).q;
    let summary = |sequence, head| projected.summary(problem, sequence, head);
    let geometry = problem.geometry();
    read::forward(isa, geometry, out, workers, memory, queries, summary);
}
