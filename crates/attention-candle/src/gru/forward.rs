//! The steps of a group of histories.

use super::{KEPT, by_length, matrix, matrix_mut};
use crate::numeric::sigmoid;
use attention_naive::product;

pub(super) struct Forward<'a> {
    pub(super) width: usize,
    pub(super) offsets: &'a [usize],
    pub(super) inputs: &'a [f32],
    pub(super) weight: &'a [f32],
    /// States `[B, H]` before the first event, of histories of one length; else they begin at zero.
    pub(super) before: Option<&'a [f32]>,
    pub(super) states: &'a mut [f32],
    pub(super) kept: &'a mut [f32],
}

impl Forward<'_> {
    pub(super) fn run(self) {
        let (width, order) = (self.width, by_length(self.offsets));
        let (recurrent, bias) = self.weight.split_at(3 * width * width);
        let zeros = || vec![0.0; order.len() * width];
        let mut latest = self.before.map_or_else(zeros, <[f32]>::to_vec);
        let mut sums = vec![0.0; order.len() * 3 * width];
        for t in 0..order.first().map_or(0, |&(_, longest)| longest) {
            let active = order.partition_point(|&(_, length)| length > t);
            let (latest, sums) = (
                &mut latest[..active * width],
                &mut sums[..active * 3 * width],
            );
            product(
                1.0,
                false,
                matrix(latest, width),
                matrix(recurrent, 3 * width),
                matrix_mut(sums, 3 * width),
            );
            pulp::Arch::new().dispatch(Step {
                width,
                events: &order[..active],
                t,
                inputs: self.inputs,
                bias,
                sums,
                latest,
                states: self.states,
                kept: self.kept,
            });
        }
    }
}

/// Event t of some histories, given as (first event, length).
struct Step<'a> {
    width: usize,
    events: &'a [(usize, usize)],
    t: usize,
    inputs: &'a [f32],
    bias: &'a [f32],
    sums: &'a [f32],
    latest: &'a mut [f32],
    states: &'a mut [f32],
    kept: &'a mut [f32],
}

impl pulp::WithSimd for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let width = self.width;
        let rows = self
            .sums
            .chunks_exact(3 * width)
            .zip(self.latest.chunks_exact_mut(width));
        for (&(first, _), (u, h)) in self.events.iter().zip(rows) {
            let event = first + self.t;
            let g = &self.inputs[event * 3 * width..][..3 * width];
            let kept = &mut self.kept[event * KEPT * width..][..KEPT * width];
            let (r, rest) = kept.split_at_mut(width);
            let (z, rest) = rest.split_at_mut(width);
            let (n, m) = rest.split_at_mut(width);
            let part = |all: &[f32], gate: usize, at: usize| all[gate * width + at];
            for i in 0..width {
                let u = |gate| part(u, gate, i) + part(self.bias, gate, i);
                r[i] = sigmoid(part(g, 0, i) + u(0));
                z[i] = sigmoid(part(g, 1, i) + u(1));
                m[i] = u(2);
                n[i] = tanh(part(g, 2, i) + r[i] * m[i]);
                h[i] = n[i] + z[i] * (h[i] - n[i]);
            }
            self.states[event * width..][..width].copy_from_slice(h);
        }
    }
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}
