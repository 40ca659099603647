//! The state: all that a set of keys and values leaves behind.

use super::map::{CHUNK, Normaliser};
use crate::exp::exp;
use crate::matmul::{Rows, add_product};
use crate::reduce::{dot, sum};
use crate::wide::wide;

/// Sums over keys. With logarithmic features, feature f is held in units of exp(tops[f]), the
/// largest that it has had: no key is lost to another one's size.
pub(super) struct State<'a> {
    /// Σ φ(k_j) v_jᵀ `[m, Dv]`, rows padded to whole lanes.
    pub(super) values: &'a mut [f32],
    /// Σ φ(k_j), or Σ φ(k_j)², or nothing, by the normaliser `[m]`.
    pub(super) features: &'a mut [f32],
    /// Largest ln φ(k_j) `[m]`; -inf before the first key.
    pub(super) tops: &'a mut [f32],
}

/// Floats that a state takes, for m features and value rows of `stride`.
pub(super) fn floats(width: usize, stride: usize) -> usize {
    width * (stride + 2)
}

impl<'a> State<'a> {
    /// Reads `buffer`, of [`floats`] length, as a state.
    pub(super) fn over(buffer: &'a mut [f32], width: usize, stride: usize) -> Self {
        let (values, rest) = buffer.split_at_mut(width * stride);
        let (features, tops) = rest.split_at_mut(width);
        Self {
            values,
            features,
            tops: &mut tops[..width],
        }
    }

    /// The state of no keys.
    pub(super) fn clear(&mut self) {
        self.values.fill(0.0);
        self.features.fill(0.0);
        self.tops.fill(f32::NEG_INFINITY);
    }

    /// Adds `n` keys: φ(K)ᵀ `[m, C]` in the units of the state, and their values `[n, Dv]`.
    pub(super) fn absorb(&mut self, phi: &[f32], v: Rows<'_>, n: usize, normaliser: Normaliser) {
        let width = self.features.len();
        let keys = Rows {
            data: phi,
            stride: CHUNK,
        };
        add_product(keys, v, (self.values, v.stride), (width, n, v.stride));
        wide(
            #[inline(always)]
            || {
                for (total, row) in self.features.iter_mut().zip(phi.chunks_exact(CHUNK)) {
                    *total += match normaliser {
                        Normaliser::RowSum => sum(&row[..n]),
                        Normaliser::KeyColumns => dot(&row[..n], &row[..n]),
                        Normaliser::None => 0.0,
                    };
                }
            },
        );
    }

    /// Raises the units to at least `peaks` `[m]`.
    pub(super) fn raise(&mut self, peaks: &[f32], stride: usize) {
        for (f, (top, &peak)) in self.tops.iter_mut().zip(peaks).enumerate() {
            if peak > *top {
                let factor = exp(*top - peak);
                *top = peak;
                self.features[f] *= factor;
                for x in &mut self.values[f * stride..(f + 1) * stride] {
                    *x *= factor;
                }
            }
        }
    }

    /// Adds the keys of an earlier state.
    pub(super) fn merge(&mut self, earlier: &State<'_>, stride: usize, logarithmic: bool) {
        if logarithmic {
            self.raise(earlier.tops, stride);
        }
        for f in 0..self.features.len() {
            let shared = earlier.tops[f] == self.tops[f] || !logarithmic;
            let factor = if shared {
                1.0
            } else {
                exp(earlier.tops[f] - self.tops[f])
            };
            self.features[f] += factor * earlier.features[f];
            let span = f * stride..(f + 1) * stride;
            for (x, y) in self.values[span.clone()]
                .iter_mut()
                .zip(&earlier.values[span])
            {
                *x += factor * y;
            }
        }
    }
}
