//! Pooled tokens: m rows, each a sum of tokens X under weights that points p_r give their keys Y.
//!
//! Weights are exp(p_r·y_j) over their sum, over all tokens j for each r, or over all points r for each
//! token. The former are summed with a running maximum, piece by piece, and merged in order.

use super::memory::{Shelf, padded};
use super::pieces::{Slot, TOKENS};
use super::read::left_turned;
use super::summary::{right, turn};
use super::tile::{Write, copied, scale_rows, soften};
use attention::numeric::LOG2_E;
use attention::simd::{Add, Block, Left, Target, Vector, product};

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
    /// V's instructions are enabled; points, keys and tokens are there, `points` with rows filled up,
    /// and `work` has the floats that the sizes say.
    #[inline(always)]
    pub(crate) unsafe fn fill<V: Vector>(
        self,
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
            turn::<V>(points, m, d, scale * LOG2_E, theta);
            let weights = Target {
                data: work.add(d * mp),
                row: mp,
            };
            let copy = weights.data.add(TOKENS * mp);
            let factors = copy.add(TOKENS * padded(width));
            std::slice::from_raw_parts_mut(self.at, self.sizes.part()).fill(0.0);
            std::slice::from_raw_parts_mut(self.tops(), mp).fill(f32::NEG_INFINITY);
            let mut token = 0;
            while token < keys.rows {
                let rows = (keys.rows - token).min(TOKENS);
                let keys = cut(keys, token, rows);
                score::<V>(keys, theta, m, weights);
                match over {
                    Over::Tokens => self.exponentiate::<V>(weights, rows),
                    Over::Points => {
                        soften::<V>(weights, rows, m, factors);
                        scale_rows::<V>(weights, rows, m, factors);
                    }
                }
                let x = copied::<V>(cut(tokens, token, rows), copy);
                let x = Target {
                    data: x.at.cast_mut(),
                    row: x.stride,
                };
                let to = self.rows();
                let add = Add { to, rows: m, width };
                product::<V, _>(left_turned(weights), right(x), (m, rows, width), add);
                token += rows;
            }
        }
    }

    /// Scores become exponentials of the distance to the maximum so far, which what was summed before
    /// is brought to.
    ///
    /// # Safety
    /// V's instructions are enabled; `scores` has `rows` rows.
    #[inline(always)]
    unsafe fn exponentiate<V: Vector>(self, scores: Target, rows: usize) {
        let PoolSizes { m, width, .. } = self.sizes;
        let mut factors = [1.0; 16];
        // SAFETY: vectors stay within rows that are filled up.
        unsafe {
            let mut c = 0;
            while c < m {
                let (at_top, at_sum) = (self.tops().add(c), self.sums().add(c));
                let before = V::load(at_top);
                let mut top = before;
                for r in 0..rows {
                    top = V::load(scores.at(r, c)).max(top);
                }
                let mut sum = V::splat(0.0);
                for r in 0..rows {
                    let e = V::load(scores.at(r, c)).sub(top).exp2();
                    e.store(scores.at(r, c));
                    sum = sum.add(e);
                }
                if top.any_greater(before) {
                    let factor = before.sub(top).exp2();
                    factor.store(factors.as_mut_ptr());
                    V::load(at_sum).mul(factor).store(at_sum);
                    let count = (m - c).min(V::LANES);
                    scale_rows::<V>(self.rows().below(c), count, width, factors.as_ptr());
                }
                top.store(at_top);
                V::load(at_sum).add(sum).store(at_sum);
                c += V::LANES;
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
/// V's instructions are enabled; `theta` has `keys.width` rows, and `to` `keys.rows`.
#[inline(always)]
pub(crate) unsafe fn score<V: Vector>(
    keys: Block<*const f32>,
    theta: Target,
    m: usize,
    to: Target,
) {
    let rows = Left {
        data: keys.at,
        row: keys.stride,
        step: 1,
    };
    let write = Write {
        to,
        width: to.row,
        factor: 1.0,
    };
    // SAFETY: the caller's.
    unsafe { product::<V, _>(rows, right(theta), (keys.rows, keys.width, m), write) }
}

/// Some rows of a block.
///
/// # Safety
/// They exist.
#[inline(always)]
pub(crate) unsafe fn cut(x: Block<*const f32>, first: usize, rows: usize) -> Block<*const f32> {
    Block {
        // SAFETY: the caller's.
        at: unsafe { x.at.add(first * x.stride) },
        rows,
        ..x
    }
}
