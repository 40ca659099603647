//! What a norm does to rows, on the machine's vectors.

use super::Normalise;
use crate::affine::Activation;
use crate::numeric::{add_scaled, sum};

/// Mean and 1/√(variance + ε) of a row.
pub(crate) type Moments = (f32, f32);

#[inline(always)]
pub(crate) fn moments(x: &[f32], epsilon: f32) -> Moments {
    let count = x.len() as f32;
    let mean = sum(x, x, |x, _| x) / count;
    let variance = sum(x, x, |x, _| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// From the gradient of a normalised row to that of the row x itself.
#[inline(always)]
pub(crate) fn through_moments(x: &[f32], (mean, inverse): Moments, dx: &mut [f32]) {
    let count = x.len() as f32;
    let mean_dx = sum(dx, dx, |dx, _| dx) / count;
    let along = sum(dx, x, |dx, x| dx * (x - mean)) * inverse / count;
    for (dx, x) in dx.iter_mut().zip(x) {
        *dx = inverse * (*dx - mean_dx - (x - mean) * inverse * along);
    }
}

/// From x to the output.
pub(super) struct Forward<'a> {
    pub(super) op: &'a Normalise,
    pub(super) x: &'a [f32],
    pub(super) weight: &'a [f32],
    pub(super) residual: Option<&'a [f32]>,
    pub(super) moments: &'a mut [Moments],
    pub(super) y: &'a mut [f32],
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let width = self.op.width;
        let (gain, shift) = self.weight.split_at(width);
        let rows = self.x.chunks_exact(width).zip(self.moments);
        for ((x, kept), y) in rows.zip(self.y.chunks_exact_mut(width)) {
            let (mean, inverse) = moments(x, self.op.norm.epsilon);
            *kept = (mean, inverse);
            for ((y, x), (gain, shift)) in y.iter_mut().zip(x).zip(gain.iter().zip(shift)) {
                *y = (x - mean) * inverse * gain + shift;
            }
        }
        self.op.norm.activation.apply(self.y);
        if let Some(residual) = self.residual {
            add_scaled(1.0, residual, self.y);
        }
    }
}

/// From the output's gradient to that of x, and to those of gain and shift.
pub(super) struct Backward<'a> {
    pub(super) activation: Activation,
    pub(super) x: &'a [f32],
    pub(super) weight: &'a [f32],
    pub(super) moments: &'a [Moments],
    pub(super) dy: &'a [f32],
    pub(super) dx: &'a mut [f32],
}

impl pulp::WithSimd for Backward<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> Vec<f32> {
        let width = self.weight.len() / 2;
        let (gain, shift) = self.weight.split_at(width);
        let is_plain = self.activation == Activation::Identity;
        let mut given = vec![0.0; if is_plain { 0 } else { width }];
        let mut before = given.clone();
        let mut dw = vec![0.0; 2 * width];
        let (dgain, dshift) = dw.split_at_mut(width);
        let rows = self.x.chunks_exact(width).zip(self.moments);
        let rows = rows.zip(self.dy.chunks_exact(width));
        for (((x, &(mean, inverse)), dy), dx) in rows.zip(self.dx.chunks_exact_mut(width)) {
            let dy: &[f32] = if is_plain {
                dy
            } else {
                for ((given, x), (gain, shift)) in
                    given.iter_mut().zip(x).zip(gain.iter().zip(shift))
                {
                    *given = (x - mean) * inverse * gain + shift;
                }
                before.copy_from_slice(dy);
                self.activation.differentiate(&given, &mut before);
                &before
            };
            add_scaled(1.0, dy, dshift);
            for (((dx, x), dy), (gain, dgain)) in dx
                .iter_mut()
                .zip(x)
                .zip(dy)
                .zip(gain.iter().zip(&mut *dgain))
            {
                *dgain += dy * (x - mean) * inverse;
                *dx = dy * gain;
            }
            through_moments(x, (mean, inverse), dx);
        }
        dw
    }
}
