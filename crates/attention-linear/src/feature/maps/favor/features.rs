//! log2 φ of a chunk: a product with Ωᵀ, then shifts by token and by feature.

#![allow(unsafe_code)]

use super::Drawn;
use crate::feature::kernels::{Ahead, LANES, add_dots, rows, rows_mut, scale_rows, set_product};
use crate::feature::map::{CHUNK, FeatureMap, Gradient, Side, Tokens};
use attention::numeric::LOG2_E;
use attention::simd::{Isa, Kernel, Vector, dispatch};
use std::sync::Arc;

/// The map for one D and scale.
pub(super) struct Features {
    drawn: Arc<Drawn>,
    width: usize,
    d: usize,
    scale: f32,
}

impl Features {
    pub(super) fn new(drawn: Arc<Drawn>, width: usize, d: usize, scale: f32) -> Self {
        Self {
            drawn,
            width,
            d,
            scale,
        }
    }
}

impl FeatureMap for Features {
    fn features(&self, isa: Isa, tokens: &Tokens<'_>, _work: &mut [f32], phi: &mut [f32]) {
        let (n, stride) = (tokens.count(), self.width.next_multiple_of(LANES));
        let token = self.d.next_multiple_of(LANES);
        let x = rows(tokens.x, token);
        let omega = rows(&self.drawn.columns, stride);
        let sizes = (n, self.d, stride);
        set_product(
            isa,
            x.left(),
            omega,
            sizes,
            rows_mut(phi, stride),
            Ahead::NONE,
        );

        let root = LOG2_E * self.drawn.stretch as f32 * self.scale.abs().sqrt();
        let mut below = [0.0; CHUNK];
        let below = &mut below[..n];
        let root = if tokens.side == Side::Key {
            add_dots(isa, x, x, token, below);
            let half = 0.5 * LOG2_E * self.scale.abs();
            below.iter_mut().for_each(|b| *b *= half);
            root
        } else {
            // What all features of a query share cancels.
            root.copysign(self.scale)
        };
        struct Run<'a>(&'a mut [f32], &'a [f32], &'a [f32], f32);
        impl Kernel for Run<'_> {
            #[inline(always)]
            fn run<V: Vector>(self) {
                let Run(phi, below, shifts, root) = self;
                for (row, &below) in phi.chunks_exact_mut(shifts.len()).zip(below) {
                    for c in (0..shifts.len()).step_by(V::LANES) {
                        // SAFETY: rows of phi are as long as the shifts, in whole vectors.
                        unsafe {
                            let shift = V::load(shifts.as_ptr().add(c)).sub(V::splat(below));
                            let at = row.as_mut_ptr().add(c);
                            V::load(at).mul_add(V::splat(root), shift).store(at);
                        }
                    }
                }
            }
        }
        dispatch(isa, Run(phi, below, &self.drawn.binary_shifts, root));
    }
    /// From the gradient by ln φ: by x it is stretch·Ωᵀ of it, and for keys -x times its sum.
    fn pull_back(
        &self,
        isa: Isa,
        tokens: &Tokens<'_>,
        _work: &mut [f32],
        gradient: Gradient<'_>,
        _learned: &mut [f32],
    ) {
        let Gradient { d_phi, dx, .. } = gradient;
        let (n, stride) = (tokens.count(), self.width.next_multiple_of(LANES));
        let token = self.d.next_multiple_of(LANES);
        let omega = rows(&self.drawn.padded, token);
        let sizes = (n, self.width, token);
        let d_phi = rows(d_phi, stride);
        set_product(
            isa,
            d_phi.left(),
            omega,
            sizes,
            rows_mut(dx, token),
            Ahead::NONE,
        );
        let root = self.drawn.stretch as f32 * self.scale.abs().sqrt();
        let key = tokens.side == Side::Key;
        let root = if key { root } else { root.copysign(self.scale) };
        scale_rows(isa, rows_mut(dx, token), &[root; CHUNK][..n], token);
        if key {
            for (r, row) in d_phi.data.chunks_exact(stride).take(n).enumerate() {
                let sum: f32 = row.iter().sum();
                let pair = r * token..(r + 1) * token;
                for (dx, x) in dx[pair.clone()].iter_mut().zip(&tokens.x[pair]) {
                    *dx -= self.scale.abs() * sum * x;
                }
            }
        }
    }
}
