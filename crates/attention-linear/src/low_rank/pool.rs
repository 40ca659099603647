//! Pooled tokens: m rows, each a sum of tokens X under weights that points p_r give their keys Y.
//!
//! Weights are exp(p_r·y_j) over their sum, over all tokens j for each r, or over all points r for each
//! token. The former are summed with a running maximum, piece by piece, and merged in order.

use super::kernels::{
    self, Ending, Running, advance, cut, fetch, left_turned, product, right, scale_rows, soften,
    turn, whole,
};
use super::memory::{Shelf, padded};
use super::pieces::{Slot, TOKENS};
use attention::numeric::LOG2_E;
use attention::simd::{Block, Isa, Target};

/// What weights sum to one over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The tokens, for each point.
    Tokens,
    /// The points, for each token.
    Points,
}

/// Sizes of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolSizes {
    /// Points, and the most that there are in any pool of the call.
    pub(crate) m: usize,
    pub(crate) most: usize,
    /// Width of points and keys.
    pub(crate) d: usize,
    /// Width of tokens.
    pub(crate) width: usize,
    /// Factor of scores.
    pub(crate) scale: f32,
}

impl PoolSizes {
    /// Floats of a row with a column for each point.
    pub(crate) fn mp(self) -> usize {
        padded(self.most)
    }

    /// Floats of a part: maxima, sums, and rows.
    pub(crate) fn part(self) -> usize {
        2 * self.mp() + self.most * padded(self.width)
    }

    /// Floats of a worker that adds to parts: points turned, weights, copies, factors.
    pub(crate) fn work(self) -> usize {
        self.d * self.mp() + TOKENS * (self.mp() + padded(self.width) + 1)
    }
}

/// Maxima and sums of exponentials of each point, and its weighted sum of tokens.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) at: *mut f32,
    pub(crate) sizes: PoolSizes,
}

impl Part {
    fn tops(self) -> *mut f32 {
        self.at
    }

    fn sums(self) -> *mut f32 {
        self.at.wrapping_add(self.sizes.mp())
    }

    fn rows(self) -> Target {
        Target {
            data: self.at.wrapping_add(2 * self.sizes.mp()),
            row: padded(self.sizes.width),
        }
    }

    /// Pools the tokens of a piece: part of the whole history, or all of it.
    ///
    /// # Safety
    /// Points, keys and tokens are there, `points` with rows filled up,
    /// and `work` has the floats that the sizes say.
    pub(crate) unsafe fn fill(
        self,
        isa: Isa,
        over: Over,
        points: Target,
        (keys, tokens): (Block<*const f32>, Block<*const f32>),
        work: *mut f32,
    ) {
        let PoolSizes {
            m, d, width, scale, ..
        } = self.sizes;
        let mp = self.sizes.mp();
        // SAFETY: the caller's; blocks of tokens are within the piece.
        unsafe {
            let theta = Target {
                data: work,
                row: mp,
            };
            turn(isa, points, m, d, scale * LOG2_E, theta);
            let weights = Target {
                data: work.add(d * mp),
                row: mp,
            };
            let copy = weights.data.add(TOKENS * mp);
            let factors = copy.add(TOKENS * padded(width));
            std::slice::from_raw_parts_mut(self.at, self.sizes.part()).fill(0.0);
            std::slice::from_raw_parts_mut(self.tops(), mp).fill(f32::NEG_INFINITY);
            let running = Running {
                m,
                tops: self.tops(),
                sums: self.sums(),
                rows: self.rows(),
                width,
            };
            let mut token = 0;
            while token < keys.rows {
                let rows = (keys.rows - token).min(TOKENS);
                let next = |x: Block<*const f32>| {
                    cut(x, token + rows, (x.rows - token - rows).min(TOKENS))
                };
                score(isa, cut(keys, token, rows), theta, m, weights);
                fetch(isa, next(keys));
                match over {
                    Over::Tokens => advance(isa, running, weights, rows),
                    Over::Points => {
                        soften(isa, weights, rows, m, factors);
                        scale_rows(isa, weights, rows, m, factors);
                    }
                }
                let x = whole(isa, cut(tokens, token, rows), copy);
                let add = Ending::add(self.rows(), width);
                product(isa, left_turned(weights), right(x), (m, rows, width), add);
                if tokens.at != keys.at {
                    fetch(isa, next(tokens));
                }
                token += rows;
            }
        }
    }
}

/// Statistics of a pool over tokens: the maximum of each point's scores, then one over its sum; what
/// fills a row up is zero.
#[derive(Clone, Copy)]
pub(crate) struct Stats {
    pub(crate) at: *mut f32,
    pub(crate) mp: usize,
}

impl Stats {
    pub(crate) fn tops(self) -> *mut f32 {
        self.at
    }

    pub(crate) fn inverses(self) -> *mut f32 {
        self.at.wrapping_add(self.mp)
    }
}

/// The pooled tokens `[m, width]` of a history and head from the parts of its pieces, in their order.
///
/// `offset` is where in a piece's part of the shelf the pool's own begins.
///
/// # Safety
/// The parts are finished; `to` has m rows, filled up, and `stats` two rows.
pub(crate) unsafe fn merge(
    parts: (Shelf, usize),
    slot: &Slot,
    sizes: PoolSizes,
    over: Over,
    to: Target,
    stats: Stats,
) {
    let (shelf, offset) = parts;
    let part = |piece| Part {
        // SAFETY: the caller's.
        at: unsafe { shelf.part(piece).add(offset) },
        sizes,
    };
    let width = padded(sizes.width);
    // SAFETY: the caller's; points stay below m.
    unsafe {
        std::slice::from_raw_parts_mut(stats.at, 2 * stats.mp).fill(0.0);
        for r in 0..sizes.m {
            let row = std::slice::from_raw_parts_mut(to.at(r, 0), width);
            row.fill(0.0);
            let pieces = || slot.pieces.clone().map(part);
            let top = pieces().fold(f32::NEG_INFINITY, |top, p| top.max(*p.tops().add(r)));
            let mut sum = 0.0;
            for p in pieces() {
                let factor = match over {
                    Over::Tokens => (*p.tops().add(r) - top).exp2(),
                    Over::Points => 1.0,
                };
                sum += factor * *p.sums().add(r);
                let from = std::slice::from_raw_parts(p.rows().at(r, 0).cast_const(), width);
                row.iter_mut().zip(from).for_each(|(x, y)| *x += factor * y);
            }
            if over == Over::Tokens {
                *stats.tops().add(r) = top;
                *stats.inverses().add(r) = 1.0 / sum;
                row.iter_mut().for_each(|x| *x /= sum);
            }
        }
    }
}

/// Scores of keys in units of log 2.
///
/// # Safety
/// `theta` has `keys.width` rows, and `to` `keys.rows`.
pub(crate) unsafe fn score(isa: Isa, keys: Block<*const f32>, theta: Target, m: usize, to: Target) {
    let write = Ending::write(to, to.row, 1.0);
    let size = (keys.rows, keys.width, m);
    // SAFETY: the caller's.
    unsafe { product(isa, kernels::tokens(keys), right(theta), size, write) }
}
