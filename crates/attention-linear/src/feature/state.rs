//! The state: all that a set of keys and values leaves behind.

use super::kernels::{Ahead, LANES, add_columns, add_product, rows, rows_mut};
use super::map::{Extent, Normaliser};
use super::units;
use attention::simd::Isa;

/// Sizes that every buffer follows.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) d: usize,
    pub(super) dv: usize,
    pub(super) extent: Extent,
}

impl Sizes {
    /// Floats between rows of Q or K.
    pub(super) fn token(self) -> usize {
        self.d.next_multiple_of(LANES)
    }

    /// Floats between rows of V.
    pub(super) fn value(self) -> usize {
        self.dv.next_multiple_of(LANES)
    }

    /// m.
    pub(super) fn width(self) -> usize {
        self.extent.width
    }

    /// Floats between rows of features.
    pub(super) fn feature(self) -> usize {
        self.extent.width.next_multiple_of(LANES)
    }

    /// Floats of a state.
    pub(super) fn state(self) -> usize {
        self.width() * self.value() + 2 * self.feature()
    }
}

/// Sums over keys. With logarithmic features, feature f is held in units of 2^tops[f], the largest
/// that it has had: no key is lost to another one's size.
pub(super) struct State<'a> {
    pub(super) sizes: Sizes,
    /// Σ φ(k_j) v_jᵀ `[m, Dv]`.
    pub(super) values: &'a mut [f32],
    /// Σ φ(k_j), or Σ φ(k_j)², or nothing, by the normaliser `[m]`.
    pub(super) features: &'a mut [f32],
    /// Largest log2 φ(k_j) `[m]`; -inf before the first key.
    pub(super) tops: &'a mut [f32],
}

impl<'a> State<'a> {
    /// Reads a buffer of [`Sizes::state`] floats as a state.
    pub(super) fn over(buffer: &'a mut [f32], sizes: Sizes) -> Self {
        let (values, rest) = buffer.split_at_mut(sizes.width() * sizes.value());
        let (features, rest) = rest.split_at_mut(sizes.feature());
        Self {
            sizes,
            values,
            features,
            tops: &mut rest[..sizes.feature()],
        }
    }

    /// The state of no keys.
    pub(super) fn clear(&mut self) {
        self.values.fill(0.0);
        self.features.fill(0.0);
        self.tops.fill(f32::NEG_INFINITY);
    }

    /// Adds `n` keys: φ(K) `[n, m]` in the units of the state, and their values `[n, Dv]`.
    pub(super) fn absorb(
        &mut self,
        isa: Isa,
        (phi, v, n): (&[f32], &[f32], usize),
        normaliser: Normaliser,
        ahead: Ahead,
    ) {
        let s = self.sizes;
        let phi = rows(phi, s.feature());
        add_product(
            isa,
            phi.transposed(),
            rows(v, s.value()),
            (s.width(), n, s.value()),
            rows_mut(self.values, s.value()),
            ahead,
        );
        match normaliser {
            Normaliser::RowSum | Normaliser::SignedSum => {
                add_columns::<false>(isa, phi, n, self.features);
            }
            Normaliser::KeyColumns => add_columns::<true>(isa, phi, n, self.features),
            Normaliser::None => {}
        }
    }

    /// Raises the units to at least `peaks` `[m]`.
    pub(super) fn raise(&mut self, peaks: &[f32]) {
        let stride = self.sizes.value();
        for (f, &peak) in peaks.iter().take(self.sizes.width()).enumerate() {
            if peak > self.tops[f] {
                let factor = units::ratio(self.tops[f], peak);
                self.tops[f] = peak;
                self.features[f] *= factor;
                for x in &mut self.values[f * stride..(f + 1) * stride] {
                    *x *= factor;
                }
            }
        }
    }

    /// Adds the keys of an earlier state.
    pub(super) fn merge(&mut self, earlier: &State<'_>, logarithmic: bool) {
        if logarithmic {
            self.raise(earlier.tops);
        }
        let stride = self.sizes.value();
        for f in 0..self.sizes.width() {
            let factor = if logarithmic {
                units::ratio(earlier.tops[f], self.tops[f])
            } else {
                1.0
            };
            self.features[f] += factor * earlier.features[f];
            let span = f * stride..(f + 1) * stride;
            let pairs = self.values[span.clone()].iter_mut();
            for (x, y) in pairs.zip(&earlier.values[span]) {
                *x += factor * y;
            }
        }
    }

    /// Lowers the units of a sum over queries to those that the keys of an earlier chunk are in.
    pub(super) fn lower(&mut self, tops: &[f32]) {
        let stride = self.sizes.value();
        for (f, &top) in tops.iter().take(self.sizes.width()).enumerate() {
            if top < self.tops[f] {
                let factor = units::ratio(top, self.tops[f]);
                self.features[f] *= factor;
                for x in &mut self.values[f * stride..(f + 1) * stride] {
                    *x *= factor;
                }
            }
            self.tops[f] = top;
        }
    }

    /// Adds the sum over later queries, whose units are larger.
    pub(super) fn merge_later(&mut self, later: &State<'_>, logarithmic: bool) {
        let stride = self.sizes.value();
        for f in 0..self.sizes.width() {
            if logarithmic && self.tops[f] == f32::NEG_INFINITY {
                self.tops[f] = later.tops[f];
            }
            let factor = if logarithmic && self.tops[f] < later.tops[f] {
                units::ratio(self.tops[f], later.tops[f])
            } else {
                1.0
            };
            self.features[f] += factor * later.features[f];
            let span = f * stride..(f + 1) * stride;
            let pairs = self.values[span.clone()].iter_mut();
            for (x, y) in pairs.zip(&later.values[span]) {
                *x += factor * y;
            }
        }
    }

    /// Takes over another state of the same sizes.
    pub(super) fn copy_from(&mut self, floats: &[f32]) {
        let (values, rest) = floats.split_at(self.values.len());
        let (features, tops) = rest.split_at(self.features.len());
        self.values.copy_from_slice(values);
        self.features.copy_from_slice(features);
        self.tops.copy_from_slice(&tops[..self.features.len()]);
    }

    /// Writes itself out.
    pub(super) fn copy_to(&self, floats: &mut [f32]) {
        let (values, rest) = floats.split_at_mut(self.values.len());
        let (features, tops) = rest.split_at_mut(self.features.len());
        values.copy_from_slice(self.values);
        features.copy_from_slice(self.features);
        tops[..self.features.len()].copy_from_slice(self.tops);
    }
}
