//! Scratch and gradients as places that tasks take by number.

use attention::simd::{Block, Target};
use attention::{Problem, Scratch};
use ndarray::{Array4, ArrayView2, ArrayView4};

/// Floats of the widest vector: rows that are read in vectors are filled up to it.
const LINE: usize = 16;

/// A row's floats, filled up to whole vectors of any instruction set.
pub(crate) const fn padded(width: usize) -> usize {
    width.next_multiple_of(LINE)
}

/// Parts of equal size, for several workers.
#[derive(Clone, Copy)]
pub(crate) struct Shelf {
    data: *mut f32,
    parts: usize,
    floats: usize,
}

// SAFETY: the pointer is to scratch that outlives the call; who may use which part is decided by the
// tasks, each of which writes to parts of its own.
unsafe impl Send for Shelf {}
// SAFETY: as above.
unsafe impl Sync for Shelf {}

impl Shelf {
    /// The n-th part.
    ///
    /// # Safety
    /// It exists, and no other task writes to it while it is used.
    pub(crate) unsafe fn part(self, n: usize) -> *mut f32 {
        debug_assert!(n < self.parts);
        // SAFETY: the caller's.
        unsafe { self.data.add(n * self.floats) }
    }

    /// All parts as slices, one a worker.
    ///
    /// # Safety
    /// The scratch is still there, and nothing else uses the parts as long as the slices live.
    pub(crate) unsafe fn slices<'s>(
        self,
    ) -> impl ExactSizeIterator<Item = &'s mut [f32]> + Send + 's {
        // SAFETY: parts are disjoint and lie within the scratch.
        (0..self.parts)
            .map(move |n| unsafe { std::slice::from_raw_parts_mut(self.part(n), self.floats) })
    }
}

/// Sizes of shelves: how many parts, and floats of each.
pub(crate) type Layout<const K: usize> = [(usize, usize); K];

/// Bytes of scratch that shelves take.
pub(crate) fn bytes<const K: usize>(layout: Layout<K>) -> u64 {
    Scratch::bytes_for(1, floats(layout))
}

fn floats<const K: usize>(layout: Layout<K>) -> usize {
    layout
        .iter()
        .map(|(parts, each)| parts * padded(*each))
        .sum()
}

/// Cuts a scratch into shelves.
pub(crate) fn carve<const K: usize>(scratch: &mut Scratch, layout: Layout<K>) -> [Shelf; K] {
    let mut rest = scratch.part(floats(layout));
    layout.map(|(parts, each)| {
        let floats = padded(each);
        let (shelf, behind) = std::mem::take(&mut rest).split_at_mut(parts * floats);
        rest = behind;
        Shelf {
            data: shelf.as_mut_ptr(),
            parts,
            floats,
        }
    })
}

/// A gradient `[B, H, N, D]` in row-major order, by its rows, for several workers.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    data: *mut f32,
    heads: usize,
    rows: usize,
    width: usize,
}

// SAFETY: the pointer is to a gradient that outlives the call; tasks write to rows of their own.
unsafe impl Send for Grid {}
// SAFETY: as above.
unsafe impl Sync for Grid {}

impl Grid {
    /// A tensor, all of it set to zero.
    pub(crate) fn cleared(tensor: &mut Array4<f32>) -> Self {
        tensor.fill(0.0);
        let (_, heads, rows, width) = tensor.dim();
        Self {
            data: tensor.as_mut_ptr(),
            heads,
            rows,
            width,
        }
    }

    /// Token `token` of a history and head.
    ///
    /// # Safety
    /// The token exists, or is the one behind the last.
    pub(crate) unsafe fn row(self, problem: &Problem<'_>, at: Token) -> Target {
        let geometry = problem.geometry();
        let (batch, first) = match (geometry.is_jagged(), at.query) {
            (false, _) => (at.sequence, 0),
            (true, true) => (0, geometry.query_range(at.sequence).start),
            (true, false) => (0, geometry.key_range(at.sequence).start),
        };
        let row = (batch * self.heads + at.head) * self.rows + first + at.token;
        Target {
            // SAFETY: within the tensor by the caller's promise.
            data: unsafe { self.data.add(row * self.width) },
            row: self.width,
        }
    }
}

/// A place in a gradient.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub(crate) sequence: usize,
    pub(crate) head: usize,
    pub(crate) token: usize,
    /// Whether it is a query; else a key.
    pub(crate) query: bool,
}

/// Rows of a tensor of tokens.
pub(crate) fn block(
    rows: ArrayView2<'_, f32>,
    tokens: std::ops::Range<usize>,
) -> Block<*const f32> {
    let stride = rows.strides()[0].unsigned_abs();
    Block {
        at: rows.as_ptr().wrapping_add(tokens.start * stride),
        stride,
        rows: tokens.len(),
        width: rows.ncols(),
    }
}

/// Queries of one history and head in a tensor that is shaped as O.
pub(crate) fn rows_of<'t>(
    tensor: &'t ArrayView4<'_, f32>,
    problem: &Problem<'_>,
    sequence: usize,
    head: usize,
) -> ArrayView2<'t, f32> {
    let geometry = problem.geometry();
    let batch = if geometry.is_jagged() { 0 } else { sequence };
    tensor.slice(ndarray::s![batch, head, geometry.query_range(sequence), ..])
}
