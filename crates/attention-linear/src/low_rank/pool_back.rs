//! The gradient of [`pool`](super::pool): of points, keys and tokens from that of pooled tokens.
//!
//! With W the weights, G the gradient of the pooled rows R and dW = X·Gᵀ: dX += W·G, and
//! dT = W∘(dW - δ), δ being G·R of each point where weights sum to one over tokens, and Σ W∘dW of each
//! token where they do over points; dY += dT·P, dP += dTᵀ·Y.

use super::memory::padded;
use super::pieces::TOKENS;
use super::pool::{Over, PoolSizes, Stats, cut, score};
use super::read::{left, left_turned};
use super::summary::{right, turn};
use super::tile::{Write, copied, scale_rows, soften, soften_back};
use attention::numeric::LOG2_E;
use attention::simd::{Add, Block, Left, Target, Vector, dot_rows, product};

/// What a pool was made of, and what came of it.
#[derive(Clone, Copy)]
pub(crate) struct Pooled {
    pub(crate) sizes: PoolSizes,
    pub(crate) over: Over,
    /// `[m, D]`, rows filled up.
    pub(crate) points: Target,
    /// R `[m, width]`, rows filled up.
    pub(crate) rows: Target,
    /// G `[m, width]`, rows filled up.
    pub(crate) d_rows: Target,
    pub(crate) stats: Stats,
}

/// Where the gradients of a piece are added to.
#[derive(Clone, Copy)]
pub(crate) struct Gradients {
    /// `[tokens, D]`.
    pub(crate) keys: Target,
    /// `[tokens, width]`.
    pub(crate) tokens: Target,
    /// `[m, D]`, rows filled up.
    pub(crate) points: Target,
}

impl Pooled {
    /// Floats of a worker.
    pub(crate) fn work(sizes: PoolSizes) -> usize {
        let turned = (sizes.d + sizes.width + 1) * sizes.mp();
        turned + TOKENS * (2 * sizes.mp() + padded(sizes.d) + 1)
    }

    /// Adds the gradients of a piece.
    ///
    /// # Safety
    /// V's instructions are enabled; all matrices are there, and `work` has the floats that
    /// [`work`](Self::work) says.
    #[inline(always)]
    pub(crate) unsafe fn add_gradients<V: Vector>(
        self,
        (keys, tokens): (Block<*const f32>, Block<*const f32>),
        to: Gradients,
        work: *mut f32,
    ) {
        let PoolSizes {
            m, d, width, scale, ..
        } = self.sizes;
        let mp = self.sizes.mp();
        let tile = |at| Target { data: at, row: mp };
        // SAFETY: the caller's; blocks of tokens are within the piece.
        unsafe {
            let theta = tile(work);
            let d_rows_t = tile(theta.data.add(d * mp));
            let delta = d_rows_t.data.add(width * mp);
            let weights = tile(delta.add(mp));
            let d_weights = tile(weights.data.add(TOKENS * mp));
            let copy = d_weights.data.add(TOKENS * mp);
            let factors = copy.add(TOKENS * padded(d));
            turn::<V>(self.points, m, d, scale * LOG2_E, theta);
            turn::<V>(self.d_rows, m, width, 1.0, d_rows_t);
            std::slice::from_raw_parts_mut(delta, mp).fill(0.0);
            dot_rows::<V>(
                block(self.rows, m, width),
                block(self.d_rows, m, width),
                delta,
            );
            let mut token = 0;
            while token < keys.rows {
                let rows = (keys.rows - token).min(TOKENS);
                let (y, x) = (cut(keys, token, rows), cut(tokens, token, rows));
                score::<V>(y, theta, m, weights);
                let x = Left {
                    data: x.at,
                    row: x.stride,
                    step: 1,
                };
                let write = Write {
                    to: d_weights,
                    width: mp,
                    factor: 1.0,
                };
                product::<V, _>(x, right(d_rows_t), (rows, width, m), write);
                match self.over {
                    Over::Tokens => self.over_tokens::<V>(weights, d_weights, rows, delta),
                    Over::Points => {
                        soften::<V>(weights, rows, m, factors);
                        scale_rows::<V>(weights, rows, m, factors);
                        soften_back::<V>(weights, d_weights, rows, m);
                        std::slice::from_raw_parts_mut(factors, rows).fill(scale);
                        scale_rows::<V>(d_weights, rows, m, factors);
                    }
                }
                let add = |to, rows, width| Add { to, rows, width };
                let d_tokens = add(to.tokens.below(token), rows, width);
                let size = (rows, m, width);
                product::<V, _>(left(weights), right(self.d_rows), size, d_tokens);
                let d_keys = add(to.keys.below(token), rows, d);
                product::<V, _>(left(d_weights), right(self.points), (rows, m, d), d_keys);
                let y = copied::<V>(y, copy);
                let y = Target {
                    data: y.at.cast_mut(),
                    row: y.stride,
                };
                let d_points = add(to.points, m, d);
                product::<V, _>(left_turned(d_weights), right(y), (m, rows, d), d_points);
                token += rows;
            }
        }
    }

    /// Scores become weights, and the gradient of weights that of scores before the scale.
    ///
    /// # Safety
    /// V's instructions are enabled; both have `rows` rows.
    #[inline(always)]
    unsafe fn over_tokens<V: Vector>(
        self,
        weights: Target,
        d_weights: Target,
        rows: usize,
        delta: *const f32,
    ) {
        let mut c = 0;
        while c < self.sizes.m {
            // SAFETY: vectors stay within rows that are filled up.
            unsafe {
                let scale = V::splat(self.sizes.scale);
                let top = V::load(self.stats.tops().add(c));
                let inverse = V::load(self.stats.inverses().add(c));
                let delta = V::load(delta.add(c));
                for r in 0..rows {
                    let (w, dw) = (weights.at(r, c), d_weights.at(r, c));
                    let weight = V::load(w).sub(top).exp2().mul(inverse);
                    weight.store(w);
                    V::load(dw).sub(delta).mul(weight).mul(scale).store(dw);
                }
            }
            c += V::LANES;
        }
    }
}

fn block(rows: Target, m: usize, width: usize) -> Block<*const f32> {
    Block {
        at: rows.data.cast_const(),
        stride: rows.row,
        rows: m,
        width,
    }
}
