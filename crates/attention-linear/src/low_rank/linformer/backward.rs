//! Backward: dK = Eᵀ·dK̂ and dE = Σ dK̂·Kᵀ over histories, and likewise for V and F.

use super::project::{self, Projected, Projection};
use super::{KEYS, VALUES};
use crate::low_rank::kernels::{Ending, left, left_turned, product, right, transpose, whole};
use crate::low_rank::memory::{Grid, Layout, Shelf, Token, block, carve};
use crate::low_rank::pieces::{Slot, TOKENS, count, keys, queries, slots};
use crate::low_rank::read_back::{self, Targets};
use crate::low_rank::summary::{Sizes, Summary, sum_pieces};
use attention::simd::{Block, Isa, Target};
use attention::{Geometry, Gradients, Problem, Scratch, Workers};
use ndarray::ArrayView4;

/// Sums of pieces of keys, summaries, sums of pieces of queries, gradients of summaries, working memory.
pub(super) fn layout(sizes: Sizes, geometry: &Geometry, threads: usize) -> Layout<5> {
    let shape = geometry.shape();
    let slots = shape.b * shape.hkv;
    let work = read_back::floats(sizes)
        .max(project::floats(sizes))
        .max(floats(sizes));
    [
        (count(geometry, shape.hkv, keys), sizes.rows()),
        (slots, sizes.summary_back()),
        (count(geometry, shape.h, queries), sizes.rows()),
        (slots, sizes.rows()),
        (threads, work),
    ]
}

/// Columns of a projection, and tokens turned.
fn floats(sizes: Sizes) -> usize {
    TOKENS * (sizes.m + sizes.dp().max(sizes.dvp()))
}

/// Writes all gradients.
pub(super) fn backward(
    isa: Isa,
    sizes: Sizes,
    problem: &Problem<'_>,
    d_o: ArrayView4<'_, f32>,
    out: &mut Gradients,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let [e, f] = [KEYS, VALUES].map(|name| Projection::of(problem, name));
    let geometry = problem.geometry();
    let layout = layout(sizes, geometry, workers.threads());
    let [partial, summaries, partial_back, totals, memory] = carve(scratch, layout);
    let projected = Projected {
        e,
        f,
        sizes,
        partial,
        summaries,
        memory,
    };
    projected.make(isa, problem, workers, true);
    let targets = Targets {
        dq: Grid::cleared(&mut out.dq),
        partial: partial_back,
        memory,
    };
    read_back::backward(isa, problem, d_o, workers, targets, |sequence, head| {
        projected.summary(problem, sequence, head)
    });
    merge(isa, problem, sizes, workers, (partial_back, totals, memory));
    let sides = [
        (Side::Keys, e, KEYS, Grid::cleared(&mut out.dk)),
        (Side::Values, f, VALUES, Grid::cleared(&mut out.dv)),
    ];
    for (side, projection, name, d_tokens) in sides {
        let Some(gradient) = out.tensors.get_mut(name) else {
            continue;
        };
        gradient.fill(0.0);
        let unproject = Unproject {
            problem,
            side,
            sizes,
            projection,
            gradient: Entries(gradient.as_mut_ptr()),
            totals,
            d_tokens,
        };
        unproject.run_on(isa, workers, memory);
    }
}

/// Sums dK̂ and dV̂ over the pieces of queries that read them.
fn merge(
    isa: Isa,
    problem: &Problem<'_>,
    sizes: Sizes,
    workers: &Workers,
    (partial, totals, memory): (Shelf, Shelf, Shelf),
) {
    let shape = problem.shape();
    let group = shape.h / shape.hkv.max(1);
    let all = slots(problem.geometry(), shape.hkv, queries, group);
    // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
    let parts = unsafe { memory.slices() };
    workers.run_on(all, parts, |slot: Slot, _| {
        let total = Summary {
            // SAFETY: the total is this task's alone.
            at: unsafe { totals.part(slot.index) },
            sizes,
            m: sizes.m,
        };
        // SAFETY: the pieces are finished.
        unsafe { sum_pieces(isa, partial, &slot, total, problem.scale()) };
    });
}

#[derive(Clone, Copy)]
enum Side {
    Keys,
    Values,
}

/// Entries of a gradient that tasks share out by columns.
#[derive(Clone, Copy)]
struct Entries(*mut f32);

// SAFETY: the pointer is to a gradient that outlives the call; tasks write to columns of their own.
unsafe impl Send for Entries {}
// SAFETY: as above.
unsafe impl Sync for Entries {}

#[derive(Clone, Copy)]
struct Unproject<'a, 'p> {
    problem: &'a Problem<'p>,
    side: Side,
    sizes: Sizes,
    projection: Projection,
    gradient: Entries,
    totals: Shelf,
    d_tokens: Grid,
}

impl Unproject<'_, '_> {
    /// A task is some positions of a key head, in all histories: they share columns of the projection.
    fn run_on(self, isa: Isa, workers: &Workers, memory: Shelf) {
        let hkv = self.problem.shape().hkv;
        let blocks = self.projection.positions.div_ceil(TOKENS);
        // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
        let parts = unsafe { memory.slices() };
        workers.run_on(0..hkv * blocks, parts, |task, work| {
            let positions = Positions {
                all: self,
                head: task / blocks,
                first: task % blocks * TOKENS,
                work: work.as_mut_ptr(),
            };
            positions.run(isa);
        });
    }
}

struct Positions<'a, 'p> {
    all: Unproject<'a, 'p>,
    head: usize,
    first: usize,
    work: *mut f32,
}

impl Positions<'_, '_> {
    fn run(self, isa: Isa) {
        let Unproject {
            problem,
            sizes,
            projection,
            ..
        } = self.all;
        let (geometry, shape) = (problem.geometry(), problem.shape());
        let group = shape.h / shape.hkv.max(1);
        let columns = Block {
            at: projection.columns(self.head, self.first),
            stride: projection.positions,
            rows: sizes.m,
            width: (projection.positions - self.first).min(TOKENS),
        };
        // SAFETY: rows and columns are this task's alone, and within their tensors.
        unsafe {
            // Rows that lie whole powers of two apart would share few lines of the cache.
            let packed = whole(isa, columns, self.work);
            let turned = self.work.add(TOKENS * sizes.m);
            let d_columns = Target {
                data: self
                    .all
                    .gradient
                    .0
                    .add((self.head * sizes.m) * projection.positions + self.first),
                row: projection.positions,
            };
            for sequence in 0..shape.b {
                let end = keys(geometry, sequence).min(self.first + TOKENS);
                let rows = end.saturating_sub(self.first);
                if rows == 0 {
                    continue;
                }
                let head = problem.head(sequence, self.head * group);
                let total = Summary {
                    at: self.all.totals.part(sequence * shape.hkv + self.head),
                    sizes,
                    m: sizes.m,
                };
                let (tokens, d_rows) = match self.all.side {
                    Side::Keys => (head.k, total.keys()),
                    Side::Values => (head.v, total.values()),
                };
                let place = Token {
                    sequence,
                    head: self.head,
                    token: self.first,
                    query: false,
                };
                let tokens = block(tokens, self.first..end);
                let d_rows_of = self.all.d_tokens.row(problem, place);
                let write = Ending::write(d_rows_of, tokens.width, 1.0);
                let size = (rows, sizes.m, tokens.width);
                product(isa, left_turned(packed), right(d_rows), size, write);
                let turned = Target {
                    data: turned,
                    row: TOKENS,
                };
                transpose(isa, tokens, 1.0, turned);
                let add = Ending::add(d_columns, rows);
                let size = (sizes.m, tokens.width, rows);
                product(isa, left(d_rows), right(turned), size, add);
            }
        }
    }
}
