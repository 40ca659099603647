//! y of queries and keys, and its gradients.

use super::kernels::{affine, normalise};
use super::rule::{Rule, Sizes};
use crate::feature::kernels::{
    Ahead, add_product, rows, rows_mut, scale_rows, set_product, transpose,
};
use crate::feature::map::{CHUNK, Side};
use ::attention::Problem;
use ::attention::simd::Isa;

/// The tensors of one key head, in whole lanes.
pub(super) struct Tokens<'s> {
    isa: Isa,
    sizes: Sizes,
    key_head: usize,
    /// What y of queries is multiplied with.
    scale: f32,
    normalises: bool,
    /// W `[D, r]`, and across `[r, D]`.
    map: &'s mut [f32],
    across: &'s mut [f32],
    gamma: &'s mut [f32],
    beta: &'s mut [f32],
    /// 1/σ of each row.
    inverse: &'s mut [f32],
    /// x̂, or the gradient of W.
    unit: &'s mut [f32],
}

/// Floats that it needs.
pub(super) fn floats(s: Sizes) -> [usize; 6] {
    let d = s.state.d;
    let (map, across) = (d * s.lanes(), s.rank * s.state.token());
    let unit = (CHUNK * s.row()).max(map);
    [map, across, s.lanes(), s.lanes(), CHUNK, unit]
}

impl<'s> Tokens<'s> {
    /// Lays out the tensors of a key head.
    pub(super) fn of(
        isa: Isa,
        rule: &Rule,
        sizes: Sizes,
        (problem, key_head): (&Problem<'_>, usize),
        [map, across, gamma, beta, inverse, unit]: [&'s mut [f32]; 6],
    ) -> Self {
        let (r, lanes) = (sizes.rank, sizes.lanes());
        let own = |name: &str, each: usize| {
            let all = Rule::tensor(problem, name);
            all.get(key_head * each..(key_head + 1) * each)
                .unwrap_or_default()
        };
        let w = own("projection", sizes.projected);
        if !w.is_empty() {
            map.fill(0.0);
            for (to, from) in map.chunks_exact_mut(lanes).zip(w.chunks_exact(r)) {
                to[..r].copy_from_slice(from);
            }
            let token = sizes.state.token();
            transpose(isa, rows(w, r), (sizes.state.d, r), rows_mut(across, token));
        }
        for (to, name) in [(&mut *gamma, "gamma"), (&mut *beta, "beta")] {
            to.fill(0.0);
            let from = own(name, r);
            to[..from.len()].copy_from_slice(from);
        }
        Self {
            isa,
            sizes,
            key_head,
            scale: if rule.normalises {
                1.0
            } else {
                problem.scale()
            },
            normalises: rule.normalises,
            map,
            across,
            gamma,
            beta,
            inverse,
            unit,
        }
    }

    /// Whose tensors they are.
    pub(super) fn key_head(&self) -> usize {
        self.key_head
    }

    /// Writes y `[n, r]` of rows X `[n, D]`.
    pub(super) fn project(&mut self, side: Side, n: usize, x: &[f32], y: &mut [f32]) {
        let row = self.sizes.row();
        let factor = self.factor(side);
        if self.normalises {
            self.normalised(n, x);
            let own = (&*self.gamma, &*self.beta);
            affine(self.isa, self.unit, (n, row), own, y);
        } else {
            linear(self.isa, self.sizes, self.map, n, x, y);
            if factor != 1.0 {
                let all = &[factor; CHUNK][..n];
                scale_rows(self.isa, rows_mut(y, row), all, self.sizes.rank);
            }
        }
    }

    fn factor(&self, side: Side) -> f32 {
        if side == Side::Query { self.scale } else { 1.0 }
    }

    /// x̂ into `unit`.
    fn normalised(&mut self, n: usize, x: &[f32]) {
        let s = self.sizes;
        linear(self.isa, s, self.map, n, x, self.unit);
        let sizes = (n, s.rank, s.row());
        normalise(self.isa, self.unit, sizes, self.inverse);
    }

    /// Adds to dX `[n, D]` what dy brings, which it may overwrite, and to the gradients of the key
    /// head's tensors: through the affine map, dγ = dy∘x̂ and dβ = dy, the norm,
    /// du = (dx̂ - mean(dx̂) - x̂·mean(dx̂∘x̂))/σ, and the projection, dW = Xᵀdu and dX = du·Wᵀ.
    pub(super) fn pull_back(
        &mut self,
        side: Side,
        n: usize,
        (x, dy): (&[f32], &mut [f32]),
        dx: &mut [f32],
        learned: &mut [f32],
    ) {
        let (isa, s) = (self.isa, self.sizes);
        let (r, row, token) = (s.rank, s.row(), s.state.token());
        let (d_map, d_affine) = learned.split_at_mut(s.projected);
        if self.normalises {
            self.normalised(n, x);
            let (d_gamma, d_beta) = d_affine.split_at_mut(r);
            let lines = self.unit.chunks_exact(row).zip(dy.chunks_exact_mut(row));
            for ((unit, dy), inverse) in lines.zip(self.inverse.iter()).take(n) {
                let (mut mean, mut along) = (0.0, 0.0);
                for a in 0..r {
                    d_gamma[a] += dy[a] * unit[a];
                    d_beta[a] += dy[a];
                    dy[a] *= self.gamma[a];
                    mean += dy[a];
                    along += dy[a] * unit[a];
                }
                (mean, along) = (mean / r as f32, along / r as f32);
                for (unit, dy) in unit.iter().zip(dy.iter_mut()).take(r) {
                    *dy = (*dy - mean - unit * along) * inverse;
                }
            }
        } else if self.factor(side) != 1.0 {
            let all = &[self.factor(side); CHUNK][..n];
            scale_rows(isa, rows_mut(dy, row), all, r);
        }
        if s.projected == 0 {
            let lines = dx.chunks_exact_mut(token.max(1)).zip(dy.chunks_exact(row));
            for (dx, dy) in lines.take(n) {
                dx.iter_mut().zip(&dy[..r]).for_each(|(dx, dy)| *dx += dy);
            }
            return;
        }
        let lanes = s.lanes();
        let x = rows(x, token).transposed();
        let to = rows_mut(self.unit, lanes);
        set_product(
            isa,
            x,
            rows(dy, row),
            (s.state.d, n, lanes),
            to,
            Ahead::NONE,
        );
        for (to, from) in d_map.chunks_exact_mut(r).zip(self.unit.chunks_exact(lanes)) {
            to.iter_mut().zip(from).for_each(|(to, x)| *to += x);
        }
        let sizes = (n, r, token);
        let to = rows_mut(dx, token);
        let dy = rows(dy, row).left();
        add_product(isa, dy, rows(self.across, token), sizes, to, Ahead::NONE);
    }
}

/// X·W, or X itself, padded with zeros.
fn linear(isa: Isa, s: Sizes, map: &[f32], n: usize, x: &[f32], to: &mut [f32]) {
    let (row, token, lanes) = (s.row(), s.state.token(), s.lanes());
    if s.projected > 0 {
        let sizes = (n, s.state.d, lanes);
        let x = rows(x, token).left();
        set_product(
            isa,
            x,
            rows(map, lanes),
            sizes,
            rows_mut(to, row),
            Ahead::NONE,
        );
        return;
    }
    to[..n * row].fill(0.0);
    let lines = to.chunks_exact_mut(row).zip(x.chunks_exact(token.max(1)));
    lines
        .take(n)
        .for_each(|(to, x)| to[..lanes].copy_from_slice(x));
}
