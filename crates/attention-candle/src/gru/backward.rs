//! The steps of a group of histories, from their ends.

use super::{KEPT, by_length, matrix, matrix_mut};
use crate::numeric::add_scaled;
use attention_naive::product;

pub(super) struct Backward<'a> {
    pub(super) width: usize,
    pub(super) offsets: &'a [usize],
    pub(super) weight: &'a [f32],
    pub(super) states: &'a [f32],
    pub(super) d_states: &'a [f32],
    pub(super) kept: &'a [f32],
    pub(super) d_inputs: &'a mut [f32],
}

impl Backward<'_> {
    /// Writes the gradient of the inputs; gives that of the weight.
    pub(super) fn run(self) -> Vec<f32> {
        let (width, order) = (self.width, by_length(self.offsets));
        let recurrent = matrix(&self.weight[..3 * width * width], 3 * width);
        // The states that events began with, and the gradients of the products: the weight's gradient is one
        // product of both, over all events.
        let mut before = vec![0.0; self.states.len()];
        let mut d_sums = vec![0.0; self.d_inputs.len()];
        for &(first, length) in &order {
            let (begin, end) = (first * width, (first + length) * width);
            if length > 0 {
                before[begin + width..end].copy_from_slice(&self.states[begin..end - width]);
            }
        }
        let mut latest = vec![0.0; order.len() * width];
        let mut step_sums = vec![0.0; order.len() * 3 * width];
        for t in (0..order.first().map_or(0, |&(_, longest)| longest)).rev() {
            let active = order.partition_point(|&(_, length)| length > t);
            let latest = &mut latest[..active * width];
            let step_sums = &mut step_sums[..active * 3 * width];
            pulp::Arch::new().dispatch(Step {
                width,
                events: &order[..active],
                t,
                before: &before,
                d_states: self.d_states,
                kept: self.kept,
                d_inputs: self.d_inputs,
                d_sums: &mut d_sums,
                step_sums,
                latest,
            });
            product(
                1.0,
                true,
                matrix(step_sums, 3 * width),
                recurrent.t(),
                matrix_mut(latest, width),
            );
        }
        let mut d_weight = vec![0.0; self.weight.len()];
        let (d_recurrent, d_bias) = d_weight.split_at_mut(3 * width * width);
        product(
            1.0,
            false,
            matrix(&before, width).t(),
            matrix(&d_sums, 3 * width),
            matrix_mut(d_recurrent, 3 * width),
        );
        for row in d_sums.chunks_exact(3 * width) {
            add_scaled(1.0, row, d_bias);
        }
        d_weight
    }
}

/// Event t of some histories, given as (first event, length).
struct Step<'a> {
    width: usize,
    events: &'a [(usize, usize)],
    t: usize,
    before: &'a [f32],
    d_states: &'a [f32],
    kept: &'a [f32],
    d_inputs: &'a mut [f32],
    d_sums: &'a mut [f32],
    step_sums: &'a mut [f32],
    /// The gradient of the state behind event t on its way in, of that before it on its way out.
    latest: &'a mut [f32],
}

impl pulp::WithSimd for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let width = self.width;
        let rows = self
            .step_sums
            .chunks_exact_mut(3 * width)
            .zip(self.latest.chunks_exact_mut(width));
        for (&(first, _), (du, dh)) in self.events.iter().zip(rows) {
            let event = first + self.t;
            let h = &self.before[event * width..][..width];
            let d_state = &self.d_states[event * width..][..width];
            let dg = &mut self.d_inputs[event * 3 * width..][..3 * width];
            let kept = &self.kept[event * KEPT * width..][..KEPT * width];
            let (r, rest) = kept.split_at(width);
            let (z, rest) = rest.split_at(width);
            let (n, m) = rest.split_at(width);
            {
                let (dr, rest) = dg.split_at_mut(width);
                let (dz, dn) = rest.split_at_mut(width);
                for i in 0..width {
                    let d = dh[i] + d_state[i];
                    dn[i] = d * (1.0 - z[i]) * (1.0 - n[i] * n[i]);
                    dz[i] = d * (h[i] - n[i]) * z[i] * (1.0 - z[i]);
                    dr[i] = dn[i] * m[i] * r[i] * (1.0 - r[i]);
                    dh[i] = d * z[i];
                }
            }
            // The products' gradient is the inputs', but for what the reset gate multiplies.
            du.copy_from_slice(dg);
            du[2 * width..].iter_mut().zip(r).for_each(|(d, r)| *d *= r);
            self.d_sums[event * 3 * width..][..3 * width].copy_from_slice(du);
        }
    }
}
