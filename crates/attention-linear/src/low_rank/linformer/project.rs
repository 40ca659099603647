//! K̂ = E·K and V̂ = F·V.

use crate::low_rank::kernels::{Ending, copy, cut, left, product, right, whole};
use crate::low_rank::memory::{Shelf, block};
use crate::low_rank::pieces::{Piece, TOKENS, keys, pieces, slots};
use crate::low_rank::summary::{Sizes, Summary, sum_pieces};
use attention::simd::matrix::padded;
use attention::simd::{Block, Isa, Target};
use attention::{Problem, Workers};
use ndarray::Axis;

/// Columns of E or F that are packed at once, at most. Each row of them lies in a page of its own, which takes
/// longer to find than a few lines take to read.
const COLUMNS: usize = 512;

/// Floats of a pack, about: a fraction of an L2 cache.
const PACK: usize = 32 * 1024;

/// Columns that are packed at once for m rows.
fn columns(m: usize) -> usize {
    (PACK / m.max(1) / TOKENS * TOKENS).clamp(TOKENS, COLUMNS)
}

/// Floats from one packed row to the next: a line more than the columns, since rows that lie whole powers of two
/// apart would share few lines of the cache.
fn packed_row(m: usize) -> usize {
    columns(m) + padded(1)
}

/// Working memory of one worker, in floats.
pub(super) fn floats(sizes: Sizes) -> usize {
    sizes.m * packed_row(sizes.m) + TOKENS * sizes.dp().max(sizes.dvp())
}

/// E or F by its entries: row r, position j of a key head.
#[derive(Clone, Copy)]
pub(super) struct Projection {
    data: *const f32,
    rank: usize,
    pub(super) positions: usize,
}

// SAFETY: it is read only, and outlives the call.
unsafe impl Send for Projection {}
// SAFETY: as above.
unsafe impl Sync for Projection {}

impl Projection {
    /// A tensor of the problem that is known to be there, in row-major order.
    pub(super) fn of(problem: &Problem<'_>, name: &str) -> Self {
        let tensor = problem.tensor(name);
        let size = |axis| tensor.map_or(0, |t| t.len_of(Axis(axis)));
        Self {
            data: tensor.map_or(std::ptr::null(), |t| t.as_ptr()),
            rank: size(1),
            positions: size(2),
        }
    }

    /// The columns from `position` on, rows `positions` apart.
    pub(super) fn columns(self, head: usize, position: usize) -> *const f32 {
        let first = head * self.rank * self.positions + position;
        self.data.wrapping_add(first)
    }
}

/// What is projected, and by what.
#[derive(Clone, Copy)]
pub(super) struct Projected {
    pub(super) e: Projection,
    pub(super) f: Projection,
    pub(super) sizes: Sizes,
    /// Sums of each piece of keys.
    pub(super) partial: Shelf,
    /// A summary for each history and key head.
    pub(super) summaries: Shelf,
    pub(super) memory: Shelf,
}

impl Projected {
    /// What stands for the keys of a history as a query head sees them.
    pub(super) fn summary(self, problem: &Problem<'_>, sequence: usize, head: usize) -> Summary {
        let geometry = problem.geometry();
        let slot = sequence * geometry.shape().hkv + geometry.key_head(head);
        let m = match keys(geometry, sequence) {
            0 => 0,
            _ => self.sizes.m,
        };
        Summary {
            // SAFETY: there is one for each history and key head, and nobody writes to it any more.
            at: unsafe { self.summaries.part(slot) },
            sizes: self.sizes,
            m,
        }
    }

    /// Writes all summaries.
    pub(super) fn make(self, isa: Isa, problem: &Problem<'_>, workers: &Workers, backward: bool) {
        let geometry = problem.geometry();
        let (hkv, group) = (
            geometry.shape().hkv,
            geometry.shape().h / geometry.shape().hkv.max(1),
        );
        let all = pieces(geometry, hkv, keys);
        // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
        let parts = unsafe { self.memory.slices() };
        workers.run_on(all, parts, |piece: Piece, work| {
            let head = problem.head(piece.sequence, piece.head * group);
            let at = |p: Projection| Block {
                at: p.columns(piece.head, piece.tokens.start),
                stride: p.positions,
                rows: self.sizes.m,
                width: piece.tokens.len(),
            };
            let sums = Summary {
                // SAFETY: the part is this piece's alone.
                at: unsafe { self.partial.part(piece.index) },
                sizes: self.sizes,
                m: self.sizes.m,
            };
            let project = Project {
                e: at(self.e),
                f: at(self.f),
                k: block(head.k, piece.tokens.clone()),
                v: block(head.v, piece.tokens.clone()),
                sums,
                work: work.as_mut_ptr(),
            };
            project.run(isa);
        });
        // SAFETY: as above.
        let parts = unsafe { self.memory.slices() };
        workers.run_on(slots(geometry, hkv, keys, 1), parts, |slot, _| {
            let summary = Summary {
                // SAFETY: the summary is this task's alone.
                at: unsafe { self.summaries.part(slot.index) },
                sizes: self.sizes,
                m: self.sizes.m,
            };
            // SAFETY: the pieces are finished.
            unsafe {
                sum_pieces(isa, self.partial, &slot, summary, 1.0);
                summary.seal(isa, problem.scale(), backward);
            }
        });
    }
}

struct Project {
    e: Block<*const f32>,
    f: Block<*const f32>,
    k: Block<*const f32>,
    v: Block<*const f32>,
    sums: Summary,
    work: *mut f32,
}

impl Project {
    fn run(self, isa: Isa) {
        let Summary { sizes, m, .. } = self.sums;
        // SAFETY: blocks lie within K, V, the projections and the piece's sums.
        unsafe {
            std::slice::from_raw_parts_mut(self.sums.at, sizes.rows()).fill(0.0);
            let sides = [
                (self.e, self.k, self.sums.keys()),
                (self.f, self.v, self.sums.values()),
            ];
            for (projection, tokens, to) in sides {
                add_projected(isa, projection, tokens, m, to, self.work);
            }
        }
    }
}

/// to += projection·tokens.
///
/// # Safety
/// `to` has m rows, and `work` the floats that [`floats`] says.
unsafe fn add_projected(
    isa: Isa,
    projection: Block<*const f32>,
    tokens: Block<*const f32>,
    m: usize,
    to: Target,
    work: *mut f32,
) {
    let packed = Target {
        data: work,
        row: packed_row(m),
    };
    let steps = (0..tokens.rows).step_by(columns(m));
    for first in steps {
        let width = (tokens.rows - first).min(columns(m));
        // SAFETY: the caller's.
        unsafe {
            let columns = Block {
                at: projection.at.add(first),
                width,
                ..projection
            };
            copy(isa, columns, packed);
            for token in (0..width).step_by(TOKENS) {
                let rows = (width - token).min(TOKENS);
                let columns = Target {
                    data: packed.data.add(token),
                    ..packed
                };
                let tokens = cut(tokens, first + token, rows);
                let x = whole(isa, tokens, work.add(m * packed.row));
                let add = Ending::add(to, tokens.width);
                product(isa, left(columns), right(x), (m, rows, tokens.width), add);
            }
        }
    }
}
