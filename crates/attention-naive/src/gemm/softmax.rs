//! Rows of S to rows of P, at the machine's vector width.

use attention::dropout::{HeadDropout, RowKey};
use attention::numeric::exp2_nonpositive;
use std::ops::Range;

/// Turns the visible part of a row of S·log2(e) into exp(S - max), the rest into zero; gives max and
/// sum, both of base 2.
///
/// A type of its own: the shim that a borrowing closure is called through would be compiled without
/// the instructions that the dispatch has found.
pub(super) struct Exponentiate<'a> {
    pub(super) row: &'a mut [f32],
    pub(super) visible: Range<usize>,
}

impl pulp::WithSimd for Exponentiate<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> (f32, f32) {
        let Self { row, visible } = self;
        row[..visible.start].fill(0.0);
        row[visible.end..].fill(0.0);
        let row = &mut row[visible];
        let max = maximum(row);
        if max == f32::NEG_INFINITY && row.iter().all(|s| !s.is_nan()) {
            // Nothing to see; the caller knows whether by mask or by infinite scores.
            row.fill(0.0);
            return (max, f32::NAN);
        }
        // Sixteen sums, so that the order of additions is fixed and the loop vectorises.
        let mut sums = [0.0; 16];
        let (groups, rest) = row.as_chunks_mut();
        for group in groups {
            let group: &mut [f32; 16] = group;
            for (s, sum) in group.iter_mut().zip(&mut sums) {
                *s = exp2_nonpositive(*s - max);
                *sum += *s;
            }
        }
        let mut sum = 0.0;
        for s in rest {
            *s = exp2_nonpositive(*s - max);
            sum += *s;
        }
        (max, sums.iter().fold(sum, |sum, lane| sum + lane))
    }
}

#[inline(always)]
fn maximum(row: &[f32]) -> f32 {
    // NaN is passed over.
    let larger = |m: f32, s: f32| if s > m { s } else { m };
    let mut lanes = [[f32::NEG_INFINITY; 16]; 4];
    let (groups, rest) = row.as_chunks::<64>();
    for group in groups {
        for (lanes, part) in lanes.iter_mut().zip(group.as_chunks::<16>().0) {
            for (lane, s) in lanes.iter_mut().zip(part) {
                *lane = larger(*lane, *s);
            }
        }
    }
    let lanes = lanes.as_flattened().iter();
    rest.iter()
        .chain(lanes)
        .fold(f32::NEG_INFINITY, |m, s| larger(m, *s))
}

/// Multiplies the weights of a query and the keys from `first` on by 0 or 1/(1 - rate).
pub(super) struct Thin<'a> {
    pub(super) row: &'a mut [f32],
    pub(super) drop: HeadDropout,
    pub(super) key: RowKey,
    pub(super) first: usize,
}

impl pulp::WithSimd for Thin<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        for (j, p) in self.row.iter_mut().enumerate() {
            *p *= self.drop.multiplier(self.key, self.first + j);
        }
    }
}

/// Turns a row of exp(S - max) into P∘M, and dO·Vᵀ into dS = P∘(M∘dO·Vᵀ - mean).
pub(super) struct Differentiate<'a> {
    pub(super) p: &'a mut [f32],
    pub(super) ds: &'a mut [f32],
    /// One over the row's sum.
    pub(super) share: f32,
    /// Σ P∘dP = dO·O.
    pub(super) mean: f32,
    pub(super) drop: Option<(HeadDropout, RowKey)>,
    /// The key of the first entry.
    pub(super) first: usize,
}

impl pulp::WithSimd for Differentiate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let Self {
            p,
            ds,
            share,
            mean,
            drop,
            first,
        } = self;
        let pairs = p.iter_mut().zip(ds);
        match drop {
            None => pairs.for_each(|(p, ds)| {
                *p *= share;
                *ds = *p * (*ds - mean);
            }),
            Some((drop, key)) => pairs.enumerate().for_each(|(j, (p, ds))| {
                let m = drop.multiplier(key, first + j);
                let weight = *p * share;
                *ds = weight * (m * *ds - mean);
                *p = weight * m;
            }),
        }
    }
}
