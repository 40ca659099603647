//! The weighted sum of kept values.

use attention::numeric::{LOG2_E, exp2_nonpositive};
use ndarray::ArrayView2;
use pulp::Simd;

/// Values that are summed by themselves before they join the others: with thousands of kept keys,
/// one running sum would lose more to rounding than all else.
const PART: usize = 64;

/// Kept keys of one row that wait to be summed.
pub(super) struct Batch<'a> {
    v: ArrayView2<'a, f32>,
    largest: f32,
    keys: [usize; PART],
    scores: [f32; PART],
    held: usize,
    /// Keys that came before those which wait.
    summed: usize,
    total: f64,
}

impl<'a> Batch<'a> {
    /// No keys of V `[Nk, Dv]` yet; `largest` is the largest score to come.
    #[inline(always)]
    pub(super) fn new(v: ArrayView2<'a, f32>, largest: f32) -> Self {
        Self {
            v,
            largest,
            keys: [0; PART],
            scores: [0.0; PART],
            held: 0,
            summed: 0,
            total: 0.0,
        }
    }

    /// Takes a key and its score.
    #[inline(always)]
    pub(super) fn push<S: Simd>(&mut self, simd: S, key: usize, score: f32, sums: &mut [f32]) {
        if self.held == PART {
            self.flush(simd, sums);
        }
        self.keys[self.held] = key;
        self.scores[self.held] = score;
        self.held += 1;
    }

    /// Sums what waits; gives the sum of all weights, or nothing if there was no key.
    #[inline(always)]
    pub(super) fn finish<S: Simd>(mut self, simd: S, sums: &mut [f32]) -> Option<f64> {
        self.flush(simd, sums);
        (self.summed > 0).then_some(self.total)
    }

    /// Adds exp(score - largest)·v to `sums` `[Dv]` over the keys that wait.
    #[inline(always)]
    fn flush<S: Simd>(&mut self, simd: S, sums: &mut [f32]) {
        if self.held == 0 {
            return;
        }
        let weights = &mut self.scores[..self.held];
        for weight in weights.iter_mut() {
            *weight = exp2_nonpositive((*weight - self.largest) * LOG2_E);
        }
        self.total += weights.iter().map(|&w| f64::from(w)).sum::<f64>();
        let mut done = 0;
        if self.v.row(0).to_slice().is_some() {
            done = self.columns::<S, 4>(simd, sums, done);
            done = self.columns::<S, 1>(simd, sums, done);
        }
        for (c, sum) in sums.iter_mut().enumerate().skip(done) {
            let pairs = self.keys.iter().zip(&self.scores).take(self.held);
            *sum += pairs.map(|(&j, w)| w * self.v[[j, c]]).sum::<f32>();
        }
        self.summed += self.held;
        self.held = 0;
    }

    /// As many columns from `column` on as come in `W` vectors; gives the first that is left.
    #[inline(always)]
    fn columns<S: Simd, const W: usize>(
        &self,
        simd: S,
        sums: &mut [f32],
        mut column: usize,
    ) -> usize {
        let width = W * S::F32_LANES;
        while column + width <= sums.len() {
            let mut parts = [simd.splat_f32s(0.0); W];
            for (&j, &weight) in self.keys.iter().zip(&self.scores).take(self.held) {
                let row = self.v.row(j).to_slice().unwrap_or_default();
                let (row, _) = S::as_simd_f32s(&row[column..][..width]);
                let weight = simd.splat_f32s(weight);
                for (part, &x) in parts.iter_mut().zip(row) {
                    *part = simd.mul_add_e_f32s(weight, x, *part);
                }
            }
            let (sums, _) = S::as_mut_simd_f32s(&mut sums[column..][..width]);
            for (sum, &part) in sums.iter_mut().zip(&parts) {
                *sum = simd.add_f32s(*sum, part);
            }
            column += width;
        }
        column
    }
}
