//! A softmax over keys that come tile by tile (Milakov & Gimelshein 2018).

use super::Lanes;
use attention::numeric::{LOG2_E, exp2_nonpositive};

/// Maximum and sum of a query's weights so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    max: f32,
    sum: f32,
}

impl Running {
    pub(super) const NONE: Self = Self {
        max: f32::NEG_INFINITY,
        sum: 0.0,
    };

    /// Scores become weights relative to the maximum, of which hidden ones, at -inf, are zero; gives the
    /// factor of what was summed before.
    pub(super) fn advance(&mut self, scores: &mut Lanes, keys: usize) -> f32 {
        let before = self.max;
        let scores = &mut scores[..keys];
        let max = scores.iter().fold(before, |max, s| max.max(*s));
        // Where nothing was visible so far, -inf - -inf must not become NaN.
        let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
        for s in scores.iter_mut() {
            *s = exp2_nonpositive((*s - shift) * LOG2_E);
        }
        let factor = exp2_nonpositive((before - shift) * LOG2_E);
        self.max = max;
        self.sum = self.sum * factor + scores.iter().sum::<f32>();
        factor
    }

    /// 1/sum, or 0 where nothing was seen.
    pub(super) fn share(&self) -> f32 {
        if self.sum == 0.0 { 0.0 } else { 1.0 / self.sum }
    }

    /// The logarithm of the sum of exponentials.
    pub(super) fn log_sum_exp(&self) -> f32 {
        self.max + self.sum.ln()
    }
}
