//! Near keys in backward: weights again, and what their gradients bring to queries and keys.

use super::super::kernels::{Weigh, weigh};
use super::pass::Pass;
use crate::feature::kernels::{
    Ahead, LANES, add_product, columns, mask_rows, multiply_by, rows, rows_mut, scale_rows,
    set_product,
};
use crate::feature::map::CHUNK;
use ::attention::numeric::LOG2_E;
use ::attention::simd::Isa;

impl Pass<'_> {
    /// Scores of the loaded queries with the loaded keys, at columns from `column` on.
    pub(super) fn score(&mut self, seen: &[usize], column: usize) {
        let (isa, s) = (self.isa, self.sizes);
        for (group, seen) in seen.chunks(LANES).enumerate() {
            let first = group * LANES;
            let width = columns(seen).saturating_sub(column).min(CHUNK);
            let (q, steps) = if self.is_exact() {
                (rows(self.x_q, s.state.token()), s.state.d)
            } else {
                (rows(self.y_q, s.row()), s.rank)
            };
            let to = rows_mut(&mut self.weights[first * s.near + column..], s.near);
            let b = rows(self.across, CHUNK);
            let sizes = (seen.len(), steps, width);
            set_product(isa, q.from(first).left(), b, sizes, to, Ahead::NONE);
            if self.is_exact() && width > 0 {
                let factors = [self.scale * LOG2_E; LANES];
                let to = rows_mut(&mut self.weights[first * s.near + column..], s.near);
                scale_rows(isa, to, &factors[..seen.len()], width);
            }
        }
    }

    /// From scores to weights and their derivatives, for rows in `units`; adds up the weights.
    pub(super) fn weigh(&mut self, seen: &[usize], units: &[f32], totals: &mut [f32]) {
        let how = if self.is_exact() {
            Weigh::Exponential(units)
        } else {
            Weigh::By(self.rule.polynomial)
        };
        let own = (&mut *self.weights, &mut *self.slopes);
        weigh(self.isa, how, own, self.sizes.near, seen, totals);
    }

    /// The gradients of the scores with the loaded keys, whose derivatives lie from `column` on:
    /// (G·Vᵀ + δ)∘slopes, zero where hidden, in `d_scores` from its first column on.
    pub(super) fn score_gradients(&mut self, seen: &[usize], column: usize, deltas: &[f32]) {
        let (isa, s, n) = (self.isa, self.sizes, seen.len());
        let mut own = [0; CHUNK];
        for (own, seen) in own.iter_mut().zip(seen) {
            *own = seen.saturating_sub(column).min(CHUNK);
        }
        for (group, seen) in own[..n].chunks(LANES).enumerate() {
            let first = group * LANES;
            let sizes = (seen.len(), s.state.dv, columns(seen));
            let to = rows_mut(&mut self.d_scores[first * CHUNK..], CHUNK);
            let g = rows(self.g, s.state.value()).from(first).left();
            let v = rows(self.v_across, CHUNK);
            set_product(isa, g, v, sizes, to, Ahead::NONE);
        }
        let mut sums = [0.0; CHUNK];
        let to = rows_mut(self.d_scores, CHUNK);
        mask_rows(isa, to, &own[..n], deltas, &mut sums[..n]);
        for (r, &seen) in own[..n].iter().enumerate() {
            let width = seen.next_multiple_of(LANES);
            let slopes = &self.slopes[r * s.near + column..][..width];
            multiply_by(isa, &mut self.d_scores[r * CHUNK..][..width], slopes);
        }
    }

    /// Adds to the queries' gradient what the scores with the loaded keys bring: to dQ, or to dy.
    pub(super) fn add_to_queries(&mut self, seen: &[usize], column: usize) {
        let (isa, s) = (self.isa, self.sizes);
        let together = if self.finite_keys { LANES } else { 1 };
        let (b, to, stride, width) = if self.is_exact() {
            (&*self.x_k, &mut *self.dx, s.state.token(), s.state.token())
        } else {
            (&*self.y_k, &mut *self.dy, s.row(), s.lanes())
        };
        for (group, seen) in seen.chunks(together).enumerate() {
            let first = group * together;
            let most = seen.iter().copied().max().unwrap_or(0);
            let steps = most.saturating_sub(column).min(CHUNK);
            let d_scores = rows(&self.d_scores[first * CHUNK..], CHUNK).left();
            let to = rows_mut(&mut to[first * stride..], stride);
            let sizes = (seen.len(), steps, width);
            add_product(isa, d_scores, rows(b, stride), sizes, to, Ahead::NONE);
        }
    }

    /// Adds to the loaded keys' gradients what the loaded queries bring: dV, and dK or dy.
    pub(super) fn add_to_keys(&mut self, seen: &[usize]) {
        let (isa, s) = (self.isa, self.sizes);
        let finite = self.finite_queries;
        let value = s.state.value();
        let own = (&*self.weights, s.near);
        let g = (&*self.g, value, value);
        add_across(isa, own, (seen, finite), g, self.o);
        let own = (&*self.d_scores, CHUNK);
        if self.is_exact() {
            let token = s.state.token();
            let q = (&*self.x_q, token, token);
            add_across(isa, own, (seen, finite), q, self.dx);
        } else {
            let q = (&*self.y_q, s.row(), s.lanes());
            add_across(isa, own, (seen, finite), q, self.dy);
        }
    }
}

/// C += Pᵀ·B for P whose row r has `seen[r]` columns, which never fall, and zeros up to whole lanes of
/// its group of 16; row by row where B is not finite.
fn add_across(
    isa: Isa,
    (p, stride): (&[f32], usize),
    (seen, finite): (&[usize], bool),
    (b, step, width): (&[f32], usize, usize),
    c: &mut [f32],
) {
    if !finite {
        for (r, &seen) in seen.iter().enumerate() {
            let p = rows(&p[r * stride..], stride).transposed();
            let b = rows(b, step).from(r);
            add_product(isa, p, b, (seen, 1, width), rows_mut(c, step), Ahead::NONE);
        }
        return;
    }
    let keys = seen.last().copied().unwrap_or(0);
    for first in (0..keys).step_by(LANES) {
        // The groups of rows before hold no such column.
        let begin = seen.iter().position(|&s| s > first).unwrap_or(seen.len());
        let begin = begin / LANES * LANES;
        let p = rows(&p[begin * stride + first..], stride).transposed();
        let sizes = (LANES.min(keys - first), seen.len() - begin, width);
        let to = rows_mut(&mut c[first * step..], step);
        add_product(isa, p, rows(b, step).from(begin), sizes, to, Ahead::NONE);
    }
}
