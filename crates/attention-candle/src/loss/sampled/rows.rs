//! Positions one by one, on the machine's vectors.

use super::{Objective, Sampled};
use crate::loss::SKIP;
use crate::numeric::{add_scaled, dot, exp_nonpositive, sigmoid};

/// From states and items to slopes; gives the loss.
pub(super) struct Forward<'a> {
    pub(super) op: &'a Sampled,
    pub(super) h: &'a [f32],
    pub(super) table: &'a [f32],
    pub(super) candidates: &'a [u32],
    pub(super) slopes: &'a mut [f32],
}

impl pulp::WithSimd for Forward<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> f64 {
        let Sampled {
            width,
            each,
            objective,
            factor,
            ..
        } = *self.op;
        let mut total = 0.0;
        let positions = self
            .candidates
            .chunks_exact(each)
            .zip(self.slopes.chunks_exact_mut(each));
        for (h, (candidates, slopes)) in self.h.chunks_exact(width).zip(positions) {
            if candidates[0] == SKIP {
                continue;
            }
            for (logit, id) in slopes.iter_mut().zip(candidates) {
                *logit = dot(h, &self.table[*id as usize * width..][..width]);
            }
            let loss = match objective {
                Objective::BinaryCrossEntropy { beta } => binary(beta, slopes),
                Objective::Softmax => softmax(slopes),
            };
            total += f64::from(loss);
            slopes.iter_mut().for_each(|slope| *slope *= factor);
        }
        total * f64::from(factor)
    }
}

/// From logits to slopes; gives the loss.
#[inline(always)]
fn binary(beta: f32, logits: &mut [f32]) -> f32 {
    let Some((positive, negatives)) = logits.split_first_mut() else {
        return 0.0;
    };
    // ln(1 + exp(-|s|)) takes the logarithms of a product, so that one logarithm serves many negatives.
    let mut loss = (-*positive).max(0.0) + exp_nonpositive(-positive.abs()).ln_1p();
    loss *= beta;
    *positive = -beta * sigmoid(-*positive);
    for group in negatives.chunks_mut(16) {
        let (mut linear, mut product) = (0.0, 1.0);
        for negative in group {
            linear += negative.max(0.0);
            product *= 1.0 + exp_nonpositive(-negative.abs());
            *negative = sigmoid(*negative);
        }
        loss += linear + f32::ln(product);
    }
    loss
}

/// From logits to slopes; gives the loss.
#[inline(always)]
fn softmax(logits: &mut [f32]) -> f32 {
    let positive = logits[0];
    let max = logits.iter().fold(f32::NEG_INFINITY, |max, s| max.max(*s));
    let mut total = 0.0;
    for s in logits.iter_mut() {
        *s = exp_nonpositive(*s - max);
        total += *s;
    }
    logits.iter_mut().for_each(|s| *s /= total);
    logits[0] -= 1.0;
    max - positive + total.ln()
}

/// From slopes to the gradient of the states.
pub(super) struct States<'a> {
    pub(super) op: &'a Sampled,
    pub(super) d_loss: f32,
    pub(super) table: &'a [f32],
    pub(super) candidates: &'a [u32],
    pub(super) slopes: &'a [f32],
    pub(super) dh: &'a mut [f32],
}

impl pulp::WithSimd for States<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let Sampled { width, each, .. } = *self.op;
        let positions = self
            .candidates
            .chunks_exact(each)
            .zip(self.slopes.chunks_exact(each));
        for (dh, (candidates, slopes)) in self.dh.chunks_exact_mut(width).zip(positions) {
            if candidates[0] == SKIP {
                continue;
            }
            for (slope, id) in slopes.iter().zip(candidates) {
                let item = &self.table[*id as usize * width..][..width];
                add_scaled(self.d_loss * slope, item, dh);
            }
        }
    }
}

/// From slopes to the gradient of the items from `first` on.
pub(super) struct Items<'a> {
    pub(super) op: &'a Sampled,
    pub(super) d_loss: f32,
    pub(super) h: &'a [f32],
    pub(super) slopes: &'a [f32],
    pub(super) first: usize,
    pub(super) dtable: &'a mut [f32],
}

impl pulp::WithSimd for Items<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let Sampled {
            width,
            each,
            candidates,
            ..
        } = self.op;
        let count = self.dtable.len() / width;
        let positions = candidates
            .chunks_exact(*each)
            .zip(self.slopes.chunks_exact(*each));
        for (h, (candidates, slopes)) in self.h.chunks_exact(*width).zip(positions) {
            if candidates[0] == SKIP {
                continue;
            }
            for (slope, id) in slopes.iter().zip(candidates) {
                let at = (*id as usize).wrapping_sub(self.first);
                if at < count {
                    add_scaled(
                        self.d_loss * slope,
                        h,
                        &mut self.dtable[at * width..][..*width],
                    );
                }
            }
        }
    }
}
