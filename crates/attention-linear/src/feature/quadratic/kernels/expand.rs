//! From y to its features of second degree, and back.

#![allow(unsafe_code)]

use crate::feature::kernels::LANES;
use crate::feature::quadratic::rule::Polynomial;
use ::attention::simd::{Isa, Kernel, Vector, dispatch};
use std::f32::consts::SQRT_2;

/// Where the rows of y and φ lie.
#[derive(Clone, Copy)]
pub(in crate::feature::quadratic) struct Layout {
    /// Tokens.
    pub(in crate::feature::quadratic) n: usize,
    /// r.
    pub(in crate::feature::quadratic) rank: usize,
    /// Floats between rows of y: [`LANES`] more than r in whole lanes.
    pub(in crate::feature::quadratic) row: usize,
    /// Floats between rows of φ.
    pub(in crate::feature::quadratic) feature: usize,
}

impl Layout {
    /// Whether y and φ have these rows, φ with a vector behind the last.
    fn holds(&self, y: &[f32], phi: &[f32]) -> bool {
        let whole = self.rank.next_multiple_of(LANES);
        whole + LANES <= self.row
            && self.n * self.row <= y.len()
            && self.n * self.feature + LANES <= phi.len()
    }
}

/// φ(y): products of two entries, row by row of their upper triangle, then y, then 1, as far as the
/// polynomial has them; behind them zeros.
pub(in crate::feature::quadratic) fn expand(
    isa: Isa,
    polynomial: Polynomial,
    layout: Layout,
    y: &[f32],
    phi: &mut [f32],
) {
    assert!(layout.holds(y, phi) && polynomial.width(layout.rank) <= layout.feature);
    struct Run<'a>(Polynomial, Layout, &'a [f32], &'a mut [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(polynomial, s, y, phi) = self;
            let root = polynomial.second.sqrt();
            for t in 0..s.n {
                // SAFETY: what is written behind a run of products is overwritten by the next, by the
                // zeros of the row, or by the next row; behind the last row is a vector of room.
                unsafe {
                    let y = y.as_ptr().add(t * s.row);
                    let mut to = phi.as_mut_ptr().add(t * s.feature);
                    let end = to.add(s.feature);
                    for a in 0..s.rank {
                        let first = *y.add(a);
                        let factor = V::splat(SQRT_2 * root * first);
                        let mut c = a;
                        while c < s.rank {
                            V::load(y.add(c)).mul(factor).store(to.add(c - a));
                            c += V::LANES;
                        }
                        *to = root * first * first;
                        to = to.add(s.rank - a);
                    }
                    if polynomial.first {
                        let mut c = 0;
                        while c < s.rank {
                            V::load(y.add(c)).store(to.add(c));
                            c += V::LANES;
                        }
                        to = to.add(s.rank);
                        *to = 1.0;
                        to = to.add(1);
                    }
                    while to < end {
                        *to = 0.0;
                        to = to.add(1);
                    }
                }
            }
        }
    }
    dispatch(isa, Run(polynomial, layout, y, phi));
}

/// dy from dφ: Σ_b of dφ_ab·y_b over both places of a product.
pub(in crate::feature::quadratic) fn pull_back(
    isa: Isa,
    polynomial: Polynomial,
    layout: Layout,
    (y, d_phi): (&[f32], &[f32]),
    dy: &mut [f32],
) {
    assert!(layout.holds(y, d_phi) && polynomial.width(layout.rank) <= layout.feature);
    assert!(dy.len() >= layout.n * layout.row);
    struct Run<'a>(Polynomial, Layout, (&'a [f32], &'a [f32]), &'a mut [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(polynomial, s, (y, d_phi), dy) = self;
            let factor = SQRT_2 * polynomial.second.sqrt();
            for t in 0..s.n {
                // SAFETY: as in `expand`; rows of dy are those of y.
                unsafe {
                    let y = y.as_ptr().add(t * s.row);
                    let mut from = d_phi.as_ptr().add(t * s.feature);
                    let dy = dy.as_mut_ptr().add(t * s.row);
                    std::slice::from_raw_parts_mut(dy, s.row).fill(0.0);
                    let zero = V::splat(0.0);
                    for first in (0..s.rank).step_by(8) {
                        let (mut dots, mut twice) = ([zero; 8], [0.0; 8]);
                        let count = (s.rank - first).min(8);
                        for (a, (dot, twice)) in
                            (first..).zip(dots.iter_mut().zip(&mut twice)).take(count)
                        {
                            let own = V::splat(factor * *y.add(a));
                            // The diagonal is y_a², not √2·y_a².
                            *twice = (SQRT_2 - 2.0) * *from * *y.add(a);
                            let mut c = a;
                            while c < s.rank {
                                let left = (s.rank - c).min(V::LANES);
                                let v = V::load_first(from.add(c - a), left);
                                let y = V::load_first(y.add(c), left);
                                *dot = v.mul_add(y, *dot);
                                let to = dy.add(c);
                                v.mul_add(own, V::load(to)).store(to);
                                c += V::LANES;
                            }
                            from = from.add(s.rank - a);
                        }
                        for (n, (dot, twice)) in
                            V::sums(dots).iter().zip(twice).enumerate().take(count)
                        {
                            *dy.add(first + n) += factor * (dot + twice);
                        }
                    }
                    if polynomial.first {
                        for a in 0..s.rank {
                            *dy.add(a) += *from.add(a);
                        }
                    }
                }
            }
        }
    }
    dispatch(isa, Run(polynomial, layout, (y, d_phi), dy));
}
