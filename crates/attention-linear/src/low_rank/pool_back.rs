//! The gradient of [`pool`](super::pool): of points, keys and tokens from that of pooled tokens.
//!
//! With W the weights, G the gradient of the pooled rows R and dW = X·Gᵀ: dX += W·G, and
//! dT = W∘(dW - δ), δ being G·R of each point where weights sum to one over tokens, and Σ W∘dW of each
//! token where they do over points; dY += dT·P, dP += dTᵀ·Y.

use super::kernels::{
    self, Ending, block, cut, dot_rows, left, left_turned, normalise, normalise_back, product,
    right, scale_rows, soften, soften_back, turn, whole,
};
use super::memory::padded;
use super::pieces::TOKENS;
use super::pool::{Over, PoolSizes, Stats, score};
use attention::numeric::LOG2_E;
use attention::simd::{Block, Isa, Target};

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
    /// All matrices are there, and `work` has the floats that
    /// [`work`](Self::work) says.
    pub(crate) unsafe fn add_gradients(
        self,
        isa: Isa,
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
            turn(isa, self.points, m, d, scale * LOG2_E, theta);
            turn(isa, self.d_rows, m, width, 1.0, d_rows_t);
            std::slice::from_raw_parts_mut(delta, mp).fill(0.0);
            dot_rows(
                isa,
                block(self.rows, m, width),
                block(self.d_rows, m, width),
                delta,
            );
            let (tops, inverses) = (self.stats.tops(), self.stats.inverses());
            let mut token = 0;
            while token < keys.rows {
                let rows = (keys.rows - token).min(TOKENS);
                let (y, x) = (cut(keys, token, rows), cut(tokens, token, rows));
                score(isa, y, theta, m, weights);
                let write = Ending::write(d_weights, mp, 1.0);
                let x = kernels::tokens(x);
                product(isa, x, right(d_rows_t), (rows, width, m), write);
                match self.over {
                    Over::Tokens => {
                        normalise(isa, tops, inverses, weights, rows, m);
                        normalise_back(isa, weights, d_weights, rows, m, delta, scale);
                    }
                    Over::Points => {
                        soften(isa, weights, rows, m, factors);
                        scale_rows(isa, weights, rows, m, factors);
                        soften_back(isa, weights, d_weights, rows, m);
                        std::slice::from_raw_parts_mut(factors, rows).fill(scale);
                        scale_rows(isa, d_weights, rows, m, factors);
                    }
                }
                let d_tokens = Ending::add(to.tokens.below(token), width);
                let size = (rows, m, width);
                product(isa, left(weights), right(self.d_rows), size, d_tokens);
                let d_keys = Ending::add(to.keys.below(token), d);
                product(
                    isa,
                    left(d_weights),
                    right(self.points),
                    (rows, m, d),
                    d_keys,
                );
                let y = whole(isa, y, copy);
                let d_points = Ending::add(to.points, d);
                product(
                    isa,
                    left_turned(d_weights),
                    right(y),
                    (m, rows, d),
                    d_points,
                );
                token += rows;
            }
        }
    }
}
