//! What a linear layer does to the rows of its products, on the machine's vectors.

use super::{Affine, Linear};
use crate::numeric::add_scaled;

/// From products to the output.
pub(super) struct Finish<'a> {
    pub(super) op: &'a Linear,
    pub(super) first: usize,
    pub(super) bias: &'a [f32],
    pub(super) residual: Option<&'a [f32]>,
    pub(super) sums: Option<&'a mut [f32]>,
    pub(super) y: &'a mut [f32],
}

impl pulp::WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let Affine {
            activation,
            factor,
            drop,
            ..
        } = self.op.affine;
        for row in self.y.chunks_exact_mut(self.op.out) {
            add_scaled(1.0, self.bias, row);
        }
        if let Some(sums) = self.sums {
            sums.copy_from_slice(self.y);
            activation.apply(self.y);
        }
        scale(factor, self.y);
        for (n, row) in self.y.chunks_exact_mut(self.op.out).enumerate() {
            drop.thin(self.first + n, row);
        }
        if let Some(residual) = self.residual {
            add_scaled(1.0, residual, self.y);
        }
    }
}

/// From the output's gradient to that of the products.
pub(super) struct Unfinish<'a> {
    pub(super) op: &'a Linear,
    pub(super) first: usize,
    pub(super) sums: &'a [f32],
    pub(super) dsums: &'a mut [f32],
}

impl pulp::WithSimd for Unfinish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let Affine {
            activation,
            factor,
            drop,
            ..
        } = self.op.affine;
        for (n, row) in self.dsums.chunks_exact_mut(self.op.out).enumerate() {
            drop.thin(self.first + n, row);
        }
        scale(factor, self.dsums);
        activation.differentiate(self.sums, self.dsums);
    }
}

#[inline(always)]
fn scale(factor: f32, values: &mut [f32]) {
    if factor != 1.0 {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

/// Sums of columns.
pub(super) struct Columns<'a> {
    pub(super) rows: &'a [f32],
    pub(super) sums: &'a mut [f32],
}

impl pulp::WithSimd for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        for row in self.rows.chunks_exact(self.sums.len().max(1)) {
            add_scaled(1.0, row, self.sums);
        }
    }
}
